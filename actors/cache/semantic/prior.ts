/**
 * What a verifier believes before it has lessons: weights of the measures, in the order of `FEATURES`, fitted to the
 * lessons of a web shop's and a bank's questions (half of the intents of each, and HINT3's shop), early ones the most.
 * They only lead for the first dozens of lessons.
 */
export const VECTOR_PRIOR: readonly number[] = [
  -1.02, 0.45, 0.75, 0.37, 0.54, 0.63, 0.61, 1.21, -1.01, 0.48, -0.14, 0.78, 0.3, 0.98, 0.99, 0.59, 0.41,
  -0.03, -1.43, 0.09, 0.04, 0.97, 1.29, 1.37, -1.62,
];
export const LEXICAL_PRIOR: readonly number[] = [
  -1.4, 0, 0, 0, 1.36, 0.85, 0.98, 0.01, 1.65, 1.08, 0.08, 1.26, 0.64, 0, 0, 0.66, 0.45, 0.08, -1.88, 0.24,
  0.02, 1.47, 1.41, 1.05, -1.76,
];
