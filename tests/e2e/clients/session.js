// node-postgres through the gateway. Reads libpq's environment variables; prints one JSON object of what it saw.
const fs = require("fs");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");

const where = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  database: process.env.PGDATABASE,
  password: process.env.PGPASSWORD,
  ssl: { ca: fs.readFileSync(process.env.PGSSLROOTCERT), servername: "localhost" },
  connectionTimeoutMillis: 10000,
};

const failure = (error) => ({ code: error.code, message: error.message, detail: error.detail, hint: error.hint });
const attempt = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return failure(error);
  }
};

async function main() {
  const seen = {};
  const client = new Client(where);
  const notices = [];
  client.on("notice", (notice) => notices.push(notice.message));
  await client.connect();

  seen.simple = (await client.query("SELECT count(*)::int AS n FROM orders")).rows[0].n;
  seen.several = (await client.query("SELECT 1 AS a; SELECT 2 AS a")).map((result) => result.rows[0].a);
  seen.extended = (await client.query("SELECT id, name FROM products WHERE id = $1", [7])).rows[0];
  seen.array = (await client.query({ text: "SELECT $1::int[] AS a, $2::jsonb AS j", values: [[1, 2], { b: 1 }] })).rows[0];
  seen.named = [];
  for (let id = 1; id <= 10; id++) {
    const { rows } = await client.query({ name: "one-order", text: "SELECT id FROM orders WHERE id = $1", values: [id] });
    seen.named.push(rows[0].id);
  }

  const cursor = client.query(new Cursor("SELECT id FROM orders WHERE id > $1 ORDER BY id", [0]));
  seen.cursor = [];
  for (let rows = await cursor.read(170); rows.length; rows = await cursor.read(170)) seen.cursor.push(rows.length);
  await cursor.close();

  seen.refusedSimple = await attempt(() => client.query("DROP TABLE orders"));
  seen.refusedExtended = await attempt(() => client.query("DELETE FROM orders WHERE $1", [true]));
  seen.refusedNamed = [];
  for (let time = 0; time < 2; time++) {
    seen.refusedNamed.push(await attempt(() => client.query({ name: "bad", text: "TRUNCATE orders" })));
  }
  seen.afterRefusals = (await client.query("SELECT 5 AS n")).rows[0].n;

  await client.query("BEGIN");
  await client.query("SELECT 1");
  seen.inTransaction = await attempt(() => client.query("DROP TABLE orders"));
  seen.thenFailed = await attempt(() => client.query("SELECT 1"));
  seen.commit = (await client.query("COMMIT")).command;
  seen.databaseError = await attempt(() => client.query("SELECT 1 / $1::int", [0]));
  seen.notices = notices;
  await client.end();

  const pool = new Pool({ ...where, max: 4 });
  const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => pool.query("SELECT $1::int AS n", [n])));
  seen.pool = answers.map((answer) => answer.rows[0].n);
  await pool.end();
  console.log(JSON.stringify(seen));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
