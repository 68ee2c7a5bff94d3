/**
 * What a verifier believes before it has lessons: weights of the measures, in the order of `FEATURES`, fitted to the
 * lessons of a web shop's and a bank's questions (half of the intents of each, and HINT3's shop), early ones the most.
 * They only lead for the first dozens of lessons.
 */
export const VECTOR_PRIOR: readonly number[] = [
  -3.78, 1.12, 0.77, 0.76, 0.42, 0.37, 0.52, 0.91, 0.26, 0.26, 0, 0, 0.62, 2.27, 1.31, 0.46, 0.66, 0.58,
  -0.69, 0.73,
];
export const LEXICAL_PRIOR: readonly number[] = [
  -4.08, 0, 0, 0, 1.81, 0.78, 0.96, 0.32, 3.37, 0.11, 0, 0, 1.25, 0, 0, 0.98, 0.96, 0.67, -0.86, 0.34,
];
