// What every script shares: the address, the flow of orders, the shape of the summary.

export const URL = __ENV.NOVATE_URL || "http://127.0.0.1:8000";
export const WS_URL = URL.replace(/^http/, "ws") + "/stream";
export const INSTRUMENT = __ENV.INSTRUMENT || "BTC-USD";
export const RATE = Number(__ENV.RATE || 500);
export const DURATION = __ENV.DURATION || "30s";
export const JSON_HEADERS = { headers: { "Content-Type": "application/json" } };

const MIDDLE_CENTS = 7_000_000;
const BAND_CENTS = 100;
const CLIENTS = 200;

function between(low, high) {
  return low + Math.floor(Math.random() * (high - low + 1));
}

// One order: 80% limit over a band of prices, 20% market, half of them buying.
export function makeOrder() {
  const order = {
    client_id: `k6-${between(1, CLIENTS)}`,
    instrument: INSTRUMENT,
    side: Math.random() < 0.5 ? "buy" : "sell",
    type: Math.random() < 0.8 ? "limit" : "market",
    quantity: (between(1, 100) / 100).toFixed(2),
  };
  if (order.type === "limit") {
    const cents = MIDDLE_CENTS + between(-BAND_CENTS, BAND_CENTS);
    order.price = (cents / 100).toFixed(2);
  }
  return order;
}

// The whole summary as JSON where SUMMARY names a file, and the few lines that matter on stdout.
export function summarise(results) {
  const lines = [];
  for (const [name, metric] of Object.entries(results.metrics)) {
    const values = Object.entries(metric.values).map(([key, value]) => `${key}=${+value.toFixed(3)}`);
    const broken = Object.values(metric.thresholds || {}).some((threshold) => !threshold.ok);
    lines.push(`${broken ? "MISSED " : "       "}${name}: ${values.join(" ")}`);
  }
  const written = { stdout: lines.join("\n") + "\n" };
  if (__ENV.SUMMARY) {
    written[__ENV.SUMMARY] = JSON.stringify(results, null, 1);
  }
  return written;
}

export const TREND_STATS = ["avg", "min", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"];
