/** What `doctor` looks at, each in a function that finds out and says what to do. */
import { mkdir, rmdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { dimensionsOf } from "#actors/knowledge/vectors/spaces.ts";
import { nextOf, type Unfinished, unfinishedOf } from "#actors/knowledge/vectors/unfinished.ts";
import { ERRORS } from "#contracts/errors.ts";
import { natsServerVersion } from "#ops/bench/nats-version.ts";
import { fsyncP50Ms } from "#ops/bench/shape.ts";
import { connectTo } from "#ops/compose/open.ts";
import { documentEmbedder, qdrantOptions, spaceOf } from "#ops/compose/vectors.ts";
import { modelsOf } from "#ops/config/model.ts";
import { loadConfig } from "#ops/config.ts";
import { traceEndpoint } from "#ops/observe.ts";
import { splitNatsUrl, urlOf } from "#ops/settings.ts";
import { probe } from "#runtime/nats/server/probe.ts";
import { isNewEnough, OLDEST_VERSION } from "#runtime/nats/server/version.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import { STORES_NOTHING } from "#runtime/nats/stalls.ts";
import { checkTopology } from "#runtime/nats/topology-check.ts";
import { createLog } from "#runtime/observe/log.ts";
import { CliFailure } from "../failure.ts";
import { ask } from "../gateway.ts";
import { type Check, type Found, fail, ok, reasonOf, warn } from "./finding.ts";
import { checkClocks, checkLoad, checkWorkers } from "./serving.ts";

const PROBE_MS = 1_500;
const HTTP_MS = 3_000;
/** Beyond this, `sync_interval: always` on one node would be felt. */
const SLOW_FSYNC_MS = 10;
const LOW_MB = 512;
const checkNode: Check = async () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const fine = major > 22 || (major === 22 && minor >= 18);
  return fine ? ok(process.version) : fail(process.version, "Install Node 24: https://nodejs.org");
};

/** Whoever names a NATS server needs neither a program of it nor a folder, and may have neither. */
const ELSEWHERE = ok("not needed: NATS is the server that was named");

const checkServer: Check = async ({ settings, named }) => {
  if (named.nats) return ELSEWHERE;
  const bin = await ensureNatsServer({
    log: () => {},
    given: settings.natsServerBin,
    cacheDir: settings.cacheDir,
  });
  return ok(`${await natsServerVersion(bin)}, ${bin}`);
};

const checkConfig: Check = async ({ settings }) => {
  try {
    const { config, path, notices } = await loadConfig(settings, { callsModels: true });
    const summary = `${path ?? "no file, so the demo shop"}; pools ${Object.keys(config.pools).join(", ")}`;
    return notices.length > 0 ? warn(summary, notices.join(" ")) : ok(summary);
  } catch (error) {
    return fail(reasonOf(error), "Correct the configuration, then run doctor again.");
  }
};

const checkData: Check = async ({ settings: { dataDir }, named }) => {
  if (named.nats) return ELSEWHERE;
  let made: string | undefined;
  try {
    made = await mkdir(dataDir, { recursive: true });
    const fsync = fsyncP50Ms(dataDir, 40);
    const { bavail, bsize } = await statfs(dataDir);
    const freeMb = Math.floor((bavail * bsize) / 1_048_576);
    const found = `${dataDir} is writable, fsync p50 ${fsync} ms, ${freeMb} MB free`;
    if (freeMb < LOW_MB)
      return warn(
        found,
        "Make room before it is full: nats-server then stores nothing until it is started again.",
      );
    return fsync > SLOW_FSYNC_MS
      ? warn(found, "Put the data on a faster disk before you set JETCLAW_NATS_SYNC=always.")
      : ok(found);
  } catch (error) {
    return fail(
      `${dataDir}: ${reasonOf(error)}`,
      "Make the folder writable and some space free, or set JETCLAW_DATA_DIR to another one.",
    );
  } finally {
    if (made) await removeEmpty(made, dataDir);
  }
};

/** Whoever only looks leaves nothing, and takes nothing from a server that is started meanwhile. */
async function removeEmpty(first: string, last: string): Promise<void> {
  try {
    for (let folder = last; ; folder = dirname(folder)) {
      await rmdir(folder);
      if (folder === first) return;
    }
  } catch {
    // Somebody uses it.
  }
}

const checkPort: Check = async ({ settings: { host, port } }) => {
  const url = urlOf(host, port);
  const answer = await probe(hostOf(new URL(url)), port, PROBE_MS);
  if (answer.kind === "closed") return ok(`${host}:${port} is free`);
  if (answer.kind === "lost")
    return warn(`nothing is heard from ${host}:${port}`, "Is JETCLAW_HOST an address of this machine?");
  const answers = await readyz(url);
  if (answers) return ok(`${host}:${port} is answered by a jetclaw gateway`);
  return warn(`${host}:${port} is taken by another program`, "Stop it, or set JETCLAW_PORT to a free port.");
};

/** URLs put IPv6 addresses into brackets, sockets do not know them. */
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, "$1");

const checkNats: Check = async ({ natsUrl, named }) => {
  const { servers } = splitNatsUrl(natsUrl);
  const each = await Promise.all(servers.map((at) => natsAt(at, named.nats)));
  const found = each.map((one) => one.found).join("; ");
  const [bad] = each.filter(({ state }) => state !== "ok");
  if (!bad?.next) return ok(found);
  // A cluster serves while some of its servers are away.
  return each.some(({ state }) => state === "ok") ? warn(found, bad.next) : { ...bad, found };
};

async function natsAt(at: string, isNamed: boolean): Promise<Found> {
  const url = new URL(at);
  const answer = await probe(hostOf(url), Number(url.port || 4_222), PROBE_MS);
  if (answer.kind === "nats") {
    const { name, version, jetstream } = answer.info;
    if (!jetstream) return fail(`${at}: ${name} ${version} runs without JetStream`, "Start it with -js.");
    if (!isNewEnough(version))
      return fail(`${at}: ${name} is NATS ${version}`, `Upgrade it: ${OLDEST_VERSION} or newer is needed.`);
    return ok(`${at}: ${name}, ${version}, JetStream`);
  }
  if (answer.kind === "other")
    return fail(`${at} is no NATS server`, "Correct JETCLAW_NATS_URL or JETCLAW_NATS_PORT.");
  if (answer.kind === "silent")
    return fail(
      `${at} accepts connections, and no NATS server greets: it is frozen or very busy, or another program`,
      "Look at that process. End one that is frozen (kill -9: what was acknowledged is stored) and start it again.",
    );
  if (answer.kind === "lost")
    return fail(
      `${at} neither accepts nor refuses connections`,
      "Look at the network on the way there: a firewall, a wrong address, a machine that is down.",
    );
  return (isNamed ? fail : warn)(
    `nothing answers at ${at}`,
    "Start one with `jetclaw up`, or name another: --nats nats://host:port.",
  );
}

const checkStreams: Check = async ({ settings, natsUrl }) => {
  const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
  const bus = await connectTo(natsUrl, "jetclaw-doctor", createLog({ level: "silent" })).catch(reasonOf);
  if (typeof bus === "string")
    return bus.includes("cannot connect")
      ? warn("not looked at, as NATS does not answer", "Mend that first: see the line above.")
      : fail(bus, "Correct the URL, or how that server is set up.");
  try {
    const { missing, different, total } = await checkTopology(bus, Object.keys(config.pools));
    if (missing.length === 0 && different.length === 0)
      return ok(`${total} streams and buckets are as declared`);
    const parts = [
      ...missing.map((each) => `${each} is missing`),
      ...different.map((each) => `${each} differs`),
    ];
    return warn(
      parts.slice(0, 6).join(", ") + (parts.length > 6 ? ` and ${parts.length - 6} more` : ""),
      "jetclaw provision",
    );
  } finally {
    await bus.close();
  }
};

async function readyz(url: string): Promise<{ ready: boolean; reasons: string[] } | undefined> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(HTTP_MS) });
    const body = (await response.json()) as { ready?: boolean; reasons?: string[] };
    return typeof body.ready === "boolean" ? { ready: body.ready, reasons: body.reasons ?? [] } : undefined;
  } catch {
    return undefined;
  }
}

/** A full disk is left by a server only when it is started again. */
const STORE_AGAIN =
  "Make the streams that are missing, see above. Or the disk of nats-server is full (its log says so): make room, then start it again; with `jetclaw up`, start that again.";

const checkGateway: Check = async ({ gateway, named }) => {
  const answer = await readyz(gateway.url);
  if (!answer)
    return (named.gateway ? fail : warn)(
      `no gateway answers at ${gateway.url}`,
      "Start one with `jetclaw up`, or name another: --url http://host:port.",
    );
  if (!answer.ready)
    return fail(
      `${gateway.url} is not ready: ${answer.reasons.join("; ")}`,
      answer.reasons[0] === STORES_NOTHING ? STORE_AGAIN : "Wait for it, or read the log of its process.",
    );
  try {
    await ask(gateway, "/v1/knowledge/shop", { signal: AbortSignal.timeout(HTTP_MS), accept: [403] });
  } catch (error) {
    if (error instanceof Error && error.name === "TimeoutError")
      return fail(
        `${gateway.url} is ready, but has not answered for ${HTTP_MS} ms`,
        "Look at NATS and at the log of its process.",
      );
    return fail(
      `${gateway.url} is ready, but: ${reasonOf(error)}`,
      error instanceof CliFailure && error.status !== undefined && error.status >= 500
        ? "Mend what the lines above say of NATS and its streams, then look at the log of its process."
        : "Name a key of this gateway: --key <key> (or JETCLAW_KEY).",
    );
  }
  return ok(`${gateway.url} is ready and knows the key`);
};

const checkModels: Check = async ({ settings }) => {
  const { config } = await loadConfig(settings, { callsModels: true });
  const models = Object.values(config.pools).flatMap((pool) => pool.models);
  const remote = models.filter(({ provider }) => provider === "openai");
  if (remote.length === 0) return ok(`${models.map(({ name }) => name).join(", ")}, built in`);
  const problems: string[] = [];
  const places = remote.flatMap((model) =>
    (model.endpoints ?? [{}]).map((endpoint) => ({
      name: model.name,
      baseUrl: endpoint.baseUrl ?? model.baseUrl ?? "",
      apiKey: endpoint.apiKey ?? model.apiKey,
    })),
  );
  for (const { name, baseUrl, apiKey } of places) {
    try {
      const listed = await modelsOf(baseUrl, typeof apiKey === "string" ? apiKey : undefined);
      if (listed.length > 0 && !listed.includes(name)) problems.push(`${baseUrl} does not list "${name}"`);
    } catch (error) {
      problems.push(reasonOf(error));
    }
  }
  if (problems.length === 0) return ok(`${remote.map(({ name }) => name).join(", ")} can be reached`);
  return fail(problems.join("; "), "Start the model server, or correct its baseUrl, key and name.");
};

/** One text is embedded: that shows the address, the key, the model and its dimensions at once. */
const checkEmbeddings: Check = async ({ settings, natsUrl }) => {
  const { config } = await loadConfig(settings, { callsModels: false, asks: "embeddings" });
  if (!config.embeddings) return ok("none: documents are found by their words");
  const { baseUrl, model } = config.embeddings;
  const { client } = await documentEmbedder({ ...config.embeddings, timeoutMs: HTTP_MS });
  const began = performance.now();
  try {
    const [vector] = await client.embed(["How long does delivery take?"]);
    const found = `${model} at ${baseUrl}: ${vector?.length} numbers in ${(performance.now() - began).toFixed(0)} ms`;
    const { dimensions = vector?.length, unfinished } = await storedVectors(
      natsUrl,
      spaceOf(config.embeddings),
    );
    if (dimensions !== vector?.length)
      return fail(`${found}, but the vectors in use have ${dimensions}`, ERRORS["vectors.dimension"].next);
    if (!unfinished) return ok(found);
    const since = new Date(unfinished.since).toISOString();
    return warn(
      `${found}, but a \`kb reindex\` that began at ${since} has not come to its end`,
      nextOf(unfinished),
    );
  } catch (error) {
    return fail(
      `${model} at ${baseUrl}: ${reasonOf(error)}`,
      "Start that server, or correct url, key, model and dimensions of the embeddings.",
    );
  } finally {
    await client.close();
  }
};

/** Nothing also where NATS or the stream is missing: others say that. */
async function storedVectors(
  natsUrl: string,
  space: string,
): Promise<{ readonly dimensions?: number | undefined; readonly unfinished?: Unfinished | undefined }> {
  const connecting = connectTo(natsUrl, "jetclaw-doctor", createLog({ level: "silent" }));
  const bus = await connecting.catch(() => undefined);
  try {
    if (!bus) return {};
    return { dimensions: await dimensionsOf(bus, space), unfinished: await unfinishedOf(bus, space) };
  } catch {
    return {};
  } finally {
    await bus?.close();
  }
}

const checkVectors: Check = async ({ settings }) => {
  const { config } = await loadConfig(settings, { callsModels: false, asks: "embeddings" });
  const options = await qdrantOptions(config);
  if (!options) return ok(config.embeddings ? "in the memory of each process that retrieves" : "none");
  const requests = new QdrantRequests({ ...options, timeoutMs: HTTP_MS, retries: 0 });
  try {
    const { collections } = await requests.send("collections", (client) => client.getCollections());
    const own = collections.filter(({ name }) => name.startsWith(`${options.prefix}-`)).length;
    const plain = options.apiKey && options.url.startsWith("http:") && !isLoopback(options.url);
    const found = `Qdrant at ${options.url}, ${own} collections of ours`;
    return plain ? warn(found, "The key travels over plain HTTP: use https.") : ok(found);
  } catch (error) {
    return fail(
      `${options.url}: ${reasonOf(error)}`,
      "Start Qdrant, or correct QDRANT_URL and QDRANT_API_KEY.",
    );
  }
};

const isLoopback = (url: string): boolean => /^(localhost|127\.|\[::1\])/.test(new URL(url).hostname);

const checkTraces: Check = async () => {
  const at = traceEndpoint();
  if (at === undefined) return ok("none are sent");
  const next = "Start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT; what works, works without it.";
  if (!URL.canParse(at) || !/^https?:/.test(at))
    return warn(`"${at}" is no URL such as http://127.0.0.1:4318`, next);
  const url = new URL(at);
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const { kind } = await probe(hostOf(url), port, PROBE_MS);
  return kind === "closed" || kind === "lost"
    ? warn(`nothing answers at ${url.origin}`, next)
    : ok(`to ${url.origin}`);
};

const checkPackage: Check = async () => ok(fileURLToPath(new URL("../../..", import.meta.url)));

/** A server that greets nobody would be waited for by each. */
const whereNatsAnswers =
  (check: Check): Check =>
  async (patient) =>
    (await checkNats(patient)).state === "fail"
      ? ok("not looked at, as NATS does not answer")
      : check(patient);

export const CHECKS: readonly (readonly [string, Check])[] = [
  ["node", checkNode],
  ["jetclaw", checkPackage],
  ["configuration", checkConfig],
  ["data", checkData],
  ["nats-server", checkServer],
  ["port", checkPort],
  ["nats", checkNats],
  ["streams", checkStreams],
  ["workers", whereNatsAnswers(checkWorkers)],
  ["clocks", whereNatsAnswers(checkClocks)],
  ["load", whereNatsAnswers(checkLoad)],
  ["gateway", checkGateway],
  ["models", checkModels],
  ["embeddings", checkEmbeddings],
  ["vectors", checkVectors],
  ["traces", checkTraces],
];
