/**
 * What a verifier believes before it has lessons: weights of the measures, in the order of `FEATURES`. Fitted by logistic
 * regression to all that was judged, served or not, in traffic of a bank's and a web shop's questions (half of the intents
 * of each, seeds 1 to 3, and 1 and 2) and of HINT3's shop, early judgements twice: what is served later brings no lessons,
 * so that how sure the verifier may be of it has to be right from the beginning.
 */
export const VECTOR_PRIOR: readonly number[] = [
  -0.88, -0.05, 0.67, 0.76, 0.46, 1.18, 0.1, -0.4, 0.33, -0.62, 1.33, 1.39, 0.28, 0.17, -0.45, 0.28, 1.09,
  1.51, 1.77, 0.01, -0.63, -1, -0.2, 0.45, 0.25, -0.26,
];
export const LEXICAL_PRIOR: readonly number[] = [
  -0.29, 0, 0, 0, 1.09, 0.7, 0.3, 0.09, 1.34, -0.65, 0, 0, 0.36, 0.26, -0.63, -0.02, 1.77, 1.1, 2.26, 1.73,
  -2.33, -0.76, -2.01, 0.27, -0.23, 1.94,
];
