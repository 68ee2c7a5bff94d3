/** The machine cannot do what a fault needs: no root, no loop devices. The message says what is missing. */
export class Skipped extends Error {}
