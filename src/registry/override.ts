/** The object with one method replaced; a proxy, since the driver's clients are functions too. */
export function override<Client extends object>(client: Client, name: keyof Client, replacement: unknown): Client {
  return new Proxy(client, {
    get: (target, key) => (key === name ? replacement : Reflect.get(target, key)),
  });
}
