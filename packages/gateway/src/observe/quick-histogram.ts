// Promises a histogram that counts a value with a few comparisons and nothing allocated. Trusts its caller for finite values.
// Format: Prometheus text exposition, cumulative buckets; prom-client prints it.
import type { MetricObjectWithValues, MetricType, MetricValueWithName } from "prom-client";
import { Histogram } from "./prometheus.ts";

interface Shape {
  readonly name: string;
  readonly help: string;
  readonly buckets: readonly number[];
}

export class QuickHistogram extends Histogram {
  readonly #shape: Shape;
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(shape: Shape, registers: ConstructorParameters<typeof Histogram>[0]["registers"]) {
    super({ ...shape, buckets: [...shape.buckets], ...(registers === undefined ? {} : { registers }) });
    this.#shape = shape;
    this.#counts = new Float64Array(shape.buckets.length + 1);
  }

  /** Counts one value. */
  count(value: number): void {
    const { buckets } = this.#shape;
    let at = 0;
    while (at < buckets.length && value > (buckets[at] ?? 0)) at++;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { name, help, buckets } = this.#shape;
    const values: MetricValueWithName<string>[] = [];
    let below = 0;
    for (const [at, le] of [...buckets, "+Inf"].entries()) {
      below += this.#counts[at] ?? 0;
      values.push({ metricName: `${name}_bucket`, labels: { le }, value: below });
    }
    values.push({ metricName: `${name}_sum`, labels: {}, value: this.#sum });
    values.push({ metricName: `${name}_count`, labels: {}, value: below });
    const type = "histogram" as unknown as MetricType; // the word prom-client prints; its declaration is an enum that is not there at run time
    return { name, help, type, aggregator: "sum", values, collect: () => {} };
  }
}
