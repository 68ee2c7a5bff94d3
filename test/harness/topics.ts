// What documents and questions of cache tests are about: what is said of one is never an answer about another.
export const TOPICS: readonly string[] = [
  "zebra",
  "walrus",
  "parrot",
  "salmon",
  "badger",
  "gibbon",
  "falcon",
  "lizard",
  "beaver",
  "donkey",
];
