/** Figures beside their baselines as an SVG, without a browser or a plotting library. */
import type { BenchResult } from "./shape.ts";

const PLOTTED: readonly (readonly [figure: string, title: string])[] = [
  ["turnsPerSecond", "turns/s (more is better)"],
  ["p50Ms", "p50 ms under load"],
  ["p99Ms", "p99 ms under load"],
  ["p50AtOneMs", "p50 ms, one in flight"],
  ["cpuMsPerTurn", "CPU ms a turn, all processes"],
  ["meanFirstTokenMs", "ms to the first token, mean"],
  ["meanFirstTokenOngoingMs", "the same from the second turn on"],
  ["cachedShare", "share of the input that was cached"],
  ["jobsPerSecond", "jobs/s (more is better)"],
  ["p50AtLowLoadMs", "p50 ms at low load"],
  ["batchSizeMean", "requests a call"],
  ["idleCoreShare", "cores, workers that wait"],
  ["pullsPerJob", "pulls a job"],
  ["inferenceAvoided", "answered without a model, share of all"],
  ["unseenAvoided", "the same of wordings not seen before"],
  ["judgedInferenceAvoided", "answered, what is kept out left out"],
  ["wrongPerHit", "wrong, share of hits"],
  ["lookupP99Ms", "p99 ms of a look-up"],
  ["cpuMsPerJob", "CPU ms a job, pumps and server"],
  ["shopFirst", "shop: right document first"],
  ["shopTop3", "shop: among the first three"],
  ["shopNothing", "shop: nothing found"],
  ["shopSilent", "shop, no answer there: nothing found"],
  ["demoEnglishFirst", "demo, English: right document first"],
  ["demoEnglishTop3", "demo, English: among the first three"],
  ["demoEnglishSilent", "demo, English, no answer there: silent"],
  ["demoDutchFirst", "demo, Dutch: right document first"],
  ["demoDutchTop3", "demo, Dutch: among the first three"],
  ["demoDutchSilent", "demo, Dutch, no answer there: silent"],
  ["storedPerSecond", "documents/s stored"],
  ["indexedPerSecond", "documents/s indexed"],
  ["indexMb", "MB of the index, text included"],
  ["longestBlockMs", "longest block of the event loop, ms"],
  ["questionP50Ms", "a question, p50 ms"],
  ["questionP99Ms", "a question, p99 ms"],
];
const WIDTH = 720;
const BAR = 360;
const LEFT = 250;
const ROW = 56;

/** `prefix` is what the names of the baselines begin with. */
export function plot({ bench, figures, baselines }: BenchResult, prefix = "barePipeline"): string {
  const rows = PLOTTED.filter(([name]) => figures[name] !== undefined).map(([name, title], index) => {
    const own = figures[name] ?? 0;
    const base = baselines[`${prefix}${name[0]?.toUpperCase()}${name.slice(1)}`] ?? 0;
    const scale = BAR / Math.max(own, base, Number.EPSILON);
    const y = 60 + index * ROW;
    const bar = (value: number, dy: number, colour: string, label: string): string =>
      `<rect x="${LEFT}" y="${y + dy}" width="${(value * scale).toFixed(1)}" height="16" fill="${colour}"/>` +
      `<text x="${(LEFT + value * scale + 6).toFixed(1)}" y="${y + dy + 13}">${value} ${label}</text>`;
    return `<text x="${LEFT - 10}" y="${y + 22}" text-anchor="end">${title}</text>${bar(own, 0, "#2563eb", "jetclaw")}${bar(base, 19, "#9ca3af", prefix === "barePipeline" ? "bare" : prefix)}`;
  });
  const height = 80 + rows.length * ROW;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="20" y="32" font-size="16">bench ${bench}</text>`,
    ...rows,
    "</svg>",
    "",
  ].join("\n");
}
