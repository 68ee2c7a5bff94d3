/**
 * What a verifier believes before it has lessons: weights of the measures, in the order of `FEATURES`. Fitted by logistic
 * regression to all that was judged, served or not, in traffic of a web shop's and a bank's questions (half of the intents
 * of each, seeds 1 and 2) and of HINT3's shop, early judgements twice: what is served later brings no lessons, so
 * that how sure the verifier may be of it has to be right from the beginning.
 */
export const VECTOR_PRIOR: readonly number[] = [
  -1.98, 0.5, -0.36, 1.74, 1.5, 0.63, 0.03, 0.65, 0.9, 1.09, 0.41, 0.51, -0.91, 0.08, 1.46, 1.92, 2.45, 0.78,
  0.94, -1.45, 0.36, 0.11,
];
export const LEXICAL_PRIOR: readonly number[] = [
  -1.29, 0.0, 0.0, 1.55, -0.22, 0.76, 0.61, 1.71, 0.0, 0.0, 0.39, 0.44, -0.77, 0.05, 2.44, 0.84, 2.34, 2.64,
  0.84, -3.87, 0.38, 1.37,
];
