/** `jetclaw bench failover`, `conversations`, `timers`, `age`: what hosts of actors are like when there is much of everything. */
import type { Command } from "commander";
import type { AgeOptions } from "../bench/age.ts";
import type { ConversationsOptions } from "../bench/conversations.ts";
import type { LoadBench } from "../bench/deployed.ts";
import type { FailoverOptions } from "../bench/failover.ts";
import type { TimersOptions } from "../bench/timers.ts";
import { type Common, loadCommand } from "./bench-load.ts";
import { count } from "./number-option.ts";

/** @returns commands for `bench` */
export const hostCommands = (): Command[] =>
  [failoverCommand, conversationsCommand, timersCommand, ageCommand].map((make) => make());

type FlagsOf<Options extends LoadBench> = Common & Omit<Options, keyof LoadBench>;

const failoverCommand = (): Command =>
  loadCommand<FlagsOf<FailoverOptions>>(
    "failover",
    "a host drains, one joins, one is killed, under a steady load: what its sessions notice",
    [8, "without a fault, and after the kill"],
    async (flags) => (await import("../bench/failover.ts")).benchFailover(flags),
  )
    .addOption(count("--rate <n>", "turns a second", 300))
    .addOption(count("--sessions <n>", "that speak in turn", 600))
    .addOption(count("--hosts <n>", "processes that host conversations", 3, 3))
    .addOption(count("--workers <n>", "processes that run jobs", 1))
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench failover\n  jetclaw bench failover --rate 300 --seconds 20 --json --plot failover.svg",
    );

const conversationsCommand = (): Command =>
  loadCommand<FlagsOf<ConversationsOptions>>(
    "conversations",
    "very many stored conversations: start, memory, and the first turn of one that is not in memory",
    [15, "in which conversations are asked for the first time, and again"],
    async (flags) => (await import("../bench/conversations.ts")).benchConversations(flags),
  )
    .addOption(count("--stored <n>", "conversations", 1_000_000, 1_000))
    .addOption(count("--past-turns <n>", "turns of each before the last one, far apart", 2, 0))
    .addOption(count("--residency <n>", "actors that a host keeps in memory", 2_000))
    .addOption(count("--rate <n>", "turns a second, half of them first ones", 200, 2))
    .addOption(count("--in-flight <n>", "turns at once while memory is watched", 32))
    .addOption(count("--memory-seconds <n>", "in which ever new conversations come", 90, 20))
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench conversations\n  jetclaw bench conversations --stored 100000 --json --plot conversations.svg",
    );

const timersCommand = (): Command =>
  loadCommand<FlagsOf<TimersOptions>>(
    "timers",
    "very many actors with a timer each, all due within the seconds: fired once, and how late",
    [60, "in which all of them are due"],
    async (flags) => (await import("../bench/timers.ts")).benchTimers(flags),
  )
    .addOption(count("--timers <n>", "each of an actor of its own", 100_000))
    .addOption(count("--hosts <n>", "processes that host the actors", 2))
    .addOption(count("--residency <n>", "actors that a host keeps in memory", 5_000))
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench timers\n  jetclaw bench timers --timers 10000 --seconds 20 --json --plot timers.svg",
    );

const ageCommand = (): Command =>
  loadCommand<FlagsOf<AgeOptions>>(
    "age",
    "conversations of very many turns beside young ones: what a turn, a first turn and a repeat cost",
    [4, "in which old conversations speak, in each round; young ones then have as many turns"],
    async (flags) => (await import("../bench/age.ts")).benchAge(flags),
  )
    .addOption(count("--turns <n>", "of an old conversation before anything is measured", 10_000))
    .addOption(count("--young-turns <n>", "of a young one", 10))
    .addOption(count("--old <n>", "old conversations, and turns under way at once", 8))
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 3))
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench age\n  jetclaw bench age --turns 1000 --rounds 1 --json",
    );
