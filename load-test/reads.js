// Mixed reads beside orders: the book, the trades, one's own order, the instruments.
// RATE=500 DURATION=30s k6 run reads.js
import http from "k6/http";
import { check } from "k6";
import { DURATION, INSTRUMENT, JSON_HEADERS, RATE, TREND_STATS, URL, makeOrder, summarise } from "./common.js";

const READS = [
  () => `/orderbook?instrument=${INSTRUMENT}&levels=20`,
  () => `/trades?instrument=${INSTRUMENT}&limit=50`,
  () => `/orders?client_id=k6-1&limit=20`,
  () => `/instruments/${INSTRUMENT}`,
];

export const options = {
  scenarios: {
    reads: {
      executor: "constant-arrival-rate",
      exec: "read",
      rate: RATE,
      timeUnit: "1s",
      duration: DURATION,
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
    orders: {
      executor: "constant-arrival-rate",
      exec: "placeAndRead",
      rate: Math.max(1, Math.floor(RATE / 4)),
      timeUnit: "1s",
      duration: DURATION,
      preAllocatedVUs: 20,
      maxVUs: 200,
    },
  },
  thresholds: {
    "http_req_duration{scenario:reads}": ["p(50)<10", "p(99)<100"],
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
  },
  summaryTrendStats: TREND_STATS,
};

export function read() {
  const path = READS[Math.floor(Math.random() * READS.length)]();
  const answer = http.get(`${URL}${path}`, { tags: { name: path.split("?")[0] } });
  check(answer, { "is 200": (r) => r.status === 200 });
}

// Read your own write: an order that was acknowledged is there.
export function placeAndRead() {
  const placed = http.post(`${URL}/orders`, JSON.stringify(makeOrder()), JSON_HEADERS);
  if (!check(placed, { "is 201": (r) => r.status === 201 })) {
    return;
  }
  const id = placed.json("order_id");
  const found = http.get(`${URL}/orders/${id}`, { tags: { name: "/orders/{order_id}" } });
  check(found, { "own order is there": (r) => r.status === 200 && r.json("order_id") === id });
}

export { summarise as handleSummary };
