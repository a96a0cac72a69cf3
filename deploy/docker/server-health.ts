// The image's health check: whether the server in this container serves. Over TLS when the server has a certificate, whose
// name is not that of the loopback interface.
import { type IncomingMessage, request as plain } from "node:http";
import { request as secure } from "node:https";

const { STIGMER_PORT: port = "50051", STIGMER_TLS_CERT_FILE: certificate } = process.env;
const request = certificate ? secure({ ...target(), rejectUnauthorized: false }, answered) : plain(target(), answered);
request.on("error", fail).on("timeout", () => fail(new Error("no answer within 4 s")));
// grpc.health.v1 by the Connect protocol: plain JSON.
request.end("{}");

function target(): object {
  return {
    host: "127.0.0.1",
    port,
    method: "POST",
    path: "/grpc.health.v1.Health/Check",
    headers: { "content-type": "application/json" },
    timeout: 4_000,
  };
}

function answered(response: IncomingMessage): void {
  let body = "";
  response.setEncoding("utf8").on("data", (text: string) => (body += text));
  response.on("end", () => {
    console.log(`${response.statusCode} ${body}`);
    // SERVING_STATUS is left out of the JSON only where it is unknown.
    process.exit(response.statusCode === 200 && /"SERVING"/.test(body) ? 0 : 1);
  });
}

function fail(error: Error): void {
  console.log(error.message);
  process.exit(1);
}
