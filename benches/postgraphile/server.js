// PostGraphile as its manual recommends it, over a database that has `summary.sql`: node server.js DATABASE_URL CONNECTIONS
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const [connectionString, connections] = process.argv.slice(2);
const database = makePgService({
  connectionString,
  schemas: ["public", "peer"],
  poolConfig: { max: Number(connections) },
});
const server = createServer();
await postgraphile({ extends: [PostGraphileAmberPreset], pgServices: [database] })
  .createServ(grafserv)
  .addTo(server);
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
