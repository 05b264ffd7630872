// Orders at a constant rate: k6 starts an iteration when it is due, whether or not earlier ones have
// been answered.   RATE=500 DURATION=30s k6 run orders.js
import http from "k6/http";
import { check } from "k6";
import { DURATION, JSON_HEADERS, RATE, TREND_STATS, URL, makeOrder, summarise } from "./common.js";

export const options = {
  scenarios: {
    orders: {
      executor: "constant-arrival-rate",
      rate: RATE,
      timeUnit: "1s",
      duration: DURATION,
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  thresholds: {
    http_req_duration: ["p(50)<10", "p(99)<100"],
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
    dropped_iterations: ["count==0"],
  },
  summaryTrendStats: TREND_STATS,
};

export default function placeOrder() {
  const answer = http.post(`${URL}/orders`, JSON.stringify(makeOrder()), JSON_HEADERS);
  check(answer, {
    "is 201": (r) => r.status === 201,
    "has an order id": (r) => r.status === 201 && r.json("order_id") !== "",
  });
}

export { summarise as handleSummary };
