/** What cannot be done as things stand. Whoever asked at the control port reads its message. */
export class Refusal extends Error {}
