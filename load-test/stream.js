// Subscribers of the book that check their stream has no gap, while orders come in.
// SUBSCRIBERS=50 RATE=200 DURATION=30s k6 run stream.js
import http from "k6/http";
import { WebSocket } from "k6/experimental/websockets";
import { setTimeout } from "k6/timers";
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";
import {
  DURATION, INSTRUMENT, JSON_HEADERS, RATE, TREND_STATS, URL, WS_URL, makeOrder, summarise,
} from "./common.js";

const SUBSCRIBERS = Number(__ENV.SUBSCRIBERS || 50);
const SECONDS = Number(DURATION.replace("s", ""));

const deltas = new Counter("stream_deltas");
const gaps = new Counter("stream_gaps");
const errors = new Counter("stream_errors");
const firstSnapshot = new Trend("stream_first_snapshot", true);

export const options = {
  scenarios: {
    orders: {
      executor: "constant-arrival-rate",
      exec: "placeOrder",
      rate: RATE,
      timeUnit: "1s",
      duration: DURATION,
      preAllocatedVUs: 20,
      maxVUs: 200,
    },
    subscribers: {
      executor: "per-vu-iterations",
      exec: "subscribe",
      vus: SUBSCRIBERS,
      iterations: 1,
      maxDuration: `${SECONDS + 30}s`,
    },
  },
  thresholds: {
    stream_gaps: ["count==0"],
    stream_errors: ["count==0"],
    stream_deltas: [`count>${SUBSCRIBERS * SECONDS}`],
    stream_first_snapshot: ["p(99)<2000"],
    "http_req_duration{scenario:orders}": ["p(99)<100"],
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
  },
  summaryTrendStats: TREND_STATS,
};

export function placeOrder() {
  const answer = http.post(`${URL}/orders`, JSON.stringify(makeOrder()), JSON_HEADERS);
  check(answer, { "is 201": (r) => r.status === 201 });
}

export function subscribe() {
  const opened = Date.now();
  const socket = new WebSocket(WS_URL);
  let sequence = 0;
  socket.onopen = () => {
    const channels = ["orderbook_deltas", "trades"];
    socket.send(JSON.stringify({ op: "subscribe", channels, instrument: INSTRUMENT }));
    setTimeout(() => socket.close(), SECONDS * 1000);
  };
  socket.onerror = () => errors.add(1);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "orderbook_snapshot") {
      firstSnapshot.add(Date.now() - opened);
      sequence = message.sequence;
    } else if (message.type === "orderbook_delta") {
      deltas.add(1);
      gaps.add(message.prev_sequence === sequence ? 0 : 1);
      sequence = message.sequence;
    } else if (message.type === "error") {
      errors.add(1);
    }
  };
}

export { summarise as handleSummary };
