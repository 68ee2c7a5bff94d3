/** What is measured: something that runs turns in processes of its own. Ours and the bare pipeline are the two. */

export interface Payloads {
  readonly messageBytes: number;
  readonly jobBytes: number;
  readonly replyBytes: number;
}

/** What travels besides the payloads themselves, measured on ours and given to the bare pipeline. */
export interface RecordSizes {
  readonly message: number;
  readonly job: number;
  readonly result: number;
  readonly state: number;
  readonly turn: number;
}

/** CPU time used so far, in ms, by kind of process. */
export interface CpuTimes {
  readonly client: number;
  readonly hosts: number;
  readonly workers: number;
  readonly natsServer: number;
}

/** Stored publishes by what they are, and how many turns they belong to. */
export interface Traffic {
  readonly turns: number;
  readonly publishes: Readonly<Record<string, { readonly count: number; readonly bytes: number }>>;
}

export interface Side {
  readonly name: "jetclaw" | "bare pipeline";
  /** One turn of a session that has none open; resolves when its record is published. */
  turn(): Promise<void>;
  /** Watches every publish while `during` runs. */
  watch(during: () => Promise<void>): Promise<Traffic>;
  cpu(): Promise<CpuTimes>;
  /** Resident memory of the host processes, in MB each. */
  hostRssMb(): Promise<number[]>;
  stop(): Promise<void>;
}

export interface SideOptions {
  readonly natsBin: string;
  readonly folder: string;
  readonly sync: "1s" | "always";
  readonly shards: 1 | 2 | 4 | 8 | 16;
  readonly hosts: number;
  readonly workers: number;
  readonly sessions: number;
  readonly turnsPerSession: number;
  readonly payloads: Payloads;
  readonly chunks: number;
  /** Time between two chunks of an answer. */
  readonly chunkMs?: number;
  /** Jobs that a worker holds at once; never the limit. */
  readonly slots?: number;
  readonly model: "echo" | "simulator";
  readonly seed: number;
  /** Activations a host keeps; the product's default when left out. */
  readonly residency?: number;
}
