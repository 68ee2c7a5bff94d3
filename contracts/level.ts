/** How far a deployment is degraded. Apart from what is stored of it, so that a command that names a level loads no schema. */

export const LEVELS = [0, 1, 2, 3] as const;
/**
 * How far the governor has degraded, for new conversations only. 0: normal. 1: they get the smaller model. 2: they get
 * caches and extracts of documents. 3: they are refused politely. Ongoing conversations keep their tier at every level.
 */
export type Level = (typeof LEVELS)[number];
