// A registry of npm packages in a process of its own: registry-process.ts FOLDER UPSTREAM. It keeps what is published in the folder,
// passes every other package on from the registry that this machine uses, says where it is, and ends with its standard input.
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { runServer } from "verdaccio";

const [folder = "", upstream = ""] = process.argv.slice(2);

const server = (await runServer({
  self_path: folder,
  storage: join(folder, "storage"),
  auth: { htpasswd: { file: join(folder, "htpasswd") } },
  uplinks: { upstream: { url: upstream, maxage: "1h", timeout: "60s", max_fails: 100 } },
  packages: {
    "@stigmer/*": { access: "$all", publish: "$all" },
    "**": { access: "$all", proxy: "upstream" },
  },
  max_body_size: "50mb",
  web: { enable: false },
  log: { type: "stdout", format: "pretty", level: "fatal" },
})) as Server;

server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
process.stdin.resume().once("end", () => process.exit());
