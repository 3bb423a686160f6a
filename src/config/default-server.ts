/** Where the service is looked for if nothing else is said. A file of its own, so that a client need not load the rules. */
export const DEFAULT_SERVER = "http://127.0.0.1:8085";
