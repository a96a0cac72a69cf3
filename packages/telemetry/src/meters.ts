export type Labels = Readonly<Record<string, string>>;

interface Described {
  /** As Prometheus has it: `stigmer_server_calls_total`. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly labels?: readonly string[];
}

/** Values of a gauge at one moment, by their labels. */
export type Readings = readonly { readonly value: number; readonly labels?: Labels }[];

/** What only grows. */
export interface Count {
  add(value: number, labels?: Labels): void;
}

/** What is measured many times, such as durations in seconds. */
export interface Meter {
  record(value: number, labels?: Labels): void;
}

/** What goes up and down, asked for when somebody looks. */
export interface Gauge extends Described {
  /** What somebody else counts, and only grows. Default: false. */
  readonly counts?: boolean;
  /** One that fails leaves the gauge out. */
  read(): Readings | Promise<Readings>;
}

/** Where a process counts what it does. Values of labels must be few. */
export interface Meters {
  counter(described: Described): Count;
  /** `buckets`: the upper bounds, in the unit of the values. Default: from 1 ms to 10 s, in seconds. */
  histogram(described: Described & { readonly buckets?: readonly number[] }): Meter;
  gauge(gauge: Gauge): void;
}
