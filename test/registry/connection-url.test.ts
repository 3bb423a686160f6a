import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toDriverTarget } from "../../src/registry/connection-url.ts";
import { connect } from "../../src/registry/database.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

describe("a unix socket in a URL", () => {
  test.each([
    ["in the query", (folder: string, name: string) => `postgres://postgres@/${name}?host=${folder}`],
    [
      "in the query, encoded",
      (folder: string, name: string) => `postgresql://postgres@/${name}?host=${encodeURIComponent(folder)}`,
    ],
    [
      "in the query, with a port and a setting",
      (folder: string, name: string) => `postgres://postgres@:1/${name}?host=${folder}&port=5432&work_mem=2MB`,
    ],
    [
      "in the place of the host",
      (folder: string, name: string) => `postgres://postgres@${encodeURIComponent(folder)}:5432/${name}`,
    ],
    [
      "without a user in its place",
      (folder: string, name: string) => `postgres:///${name}?user=postgres&host=${folder}`,
    ],
  ])("%s is connected to", async (_, urlOf) => {
    const { host, database: name } = database.connection;
    const sql = connect(urlOf(host, name), { max: 1 });
    try {
      const [row] =
        await sql`select current_database() as name, inet_server_addr() as address, current_setting('work_mem') as memory`;
      expect(row).toEqual({ name, address: null, memory: urlOf(host, name).includes("work_mem") ? "2MB" : "4MB" });
    } finally {
      await sql.end();
    }
  });
});

test.each([
  "postgres://u:p%40ss@db.example:5433/models?sslmode=require",
  "postgres://u@one:1,two:2/models",
  "postgres://[::1]:5432/models",
  "postgres://localhost",
])("the driver's own form stays: %s", (url) => {
  expect(toDriverTarget(url)).toEqual({ url });
});

test("a name in the query takes the host's place", () => {
  expect(toDriverTarget("postgres://u:a%2Fb@ignored:1/models?host=db.example&port=5433&sslmode=require")).toEqual({
    url: "postgres://u:a%2Fb@localhost/models?sslmode=require",
    host: "db.example",
    port: 5433,
  });
});
