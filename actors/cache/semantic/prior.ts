/**
 * What a verifier believes before it has lessons: weights of the measures, in the order of `FEATURES`, fitted to the
 * lessons of a web shop's and a bank's questions (half of the intents of each, and HINT3's shop), early ones the most.
 * They only lead for the first dozens of lessons.
 */
export const VECTOR_PRIOR: readonly number[] = [
  -1.57, -0.35, 0.71, -0.47, 0.67, 0.57, 1.5, 0.12, -0.34, 0.37, 0.57, 0.94, 0.91, 0.67, 1.51, 0.44, 0.18,
  -0.17, -1.61, -0.02, -0.36, 1.36, 1.89, 1.75, -1.19,
];
export const LEXICAL_PRIOR: readonly number[] = [
  -1.64, 0, 0, 0, 1.67, 1.14, 1.38, -0.57, 1.99, 0.61, 0.54, 1.91, 1.05, 0, 0, 0.77, 0.08, -0.63, -1.65, 0.11,
  -0.35, 1.82, 1.6, 1.7, -2.92,
];
