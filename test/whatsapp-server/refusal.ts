/** A request that is impossible in the current state. The control port answers with its message. */
export class Refusal extends Error {}
