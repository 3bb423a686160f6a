/** One variable that breaks a rule. */
export interface ConfigProblem {
  readonly variable: string;
  /** The rule, without the value: that may be a secret. */
  readonly rule: string;
}

/** The environment cannot be used. The message has a line for every problem and is for the operator. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    const lines = problems.map(({ variable, rule }) => `  ${variable}: ${rule}`);
    super(`the configuration cannot be used:\n${lines.join("\n")}`, options);
    this.problems = problems;
  }
}
