import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Data, Effect, Schedule, type Scope } from "effect"
import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"

// Installed by .ci/run.
const binary = "nginx"

export class SetupFailed extends Data.TaggedError("SetupFailed")<{ readonly message: string }> {}

export const run = (command: string, args: ReadonlyArray<string>, cwd: string): Effect.Effect<string, SetupFailed> =>
  Effect.callback((resume) => {
    execFile(command, args, { cwd }, (error, stdout, stderr) => {
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.fail(new SetupFailed({ message: `${command} ${args.join(" ")}: ${error.message}\n${stderr}` }))
      )
    })
  })

export const temporaryDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nginx-"))),
  (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true }))
)

/** A CA, and certificates of it: one that is good, one that has expired, one for another host, one for a client. */
export const certificates = Effect.fnUntraced(function*(directory: string) {
  const file = (name: string, text: string) => Fs.writeFileSync(Path.join(directory, name), text)
  file("index.txt", "")
  file("serial", "1000")
  file(
    "ca.cnf",
    `[ca]
default_ca = d
[d]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = p
copy_extensions = copy
unique_subject = no
[p]
commonName = supplied
`
  )
  const openssl = (...args: ReadonlyArray<string>) => run("openssl", args, directory)
  yield* openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=Test CA"
  )
  const issue = Effect.fnUntraced(function*(name: string, host: string, until: string) {
    yield* openssl(
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${host}`,
      "-addext",
      `subjectAltName=${host === "127.0.0.1" ? "IP" : "DNS"}:${host}`
    )
    yield* openssl(
      "ca",
      "-batch",
      "-config",
      "ca.cnf",
      "-in",
      `${name}.csr`,
      "-out",
      `${name}.pem`,
      "-startdate",
      "20200101000000Z",
      "-enddate",
      until,
      "-notext"
    )
  })
  yield* issue("good", "127.0.0.1", "20991231000000Z")
  yield* issue("expired", "127.0.0.1", "20200201000000Z")
  yield* issue("other", "other.example", "20991231000000Z")
  yield* issue("client", "client", "20991231000000Z")
  const read = (name: string) => Fs.readFileSync(Path.join(directory, name), "utf8")
  return { ca: read("ca.pem"), client: read("client.pem"), clientKey: read("client.key") }
})

export interface Ports {
  readonly http: number
  readonly elsewhere: number
  readonly good: number
  readonly expired: number
  readonly other: number
  readonly mutual: number
  readonly http2: number
  readonly lying: number
  readonly dead: number
  /** Where a test can run an application, behind `/application/` of `http` and `http2`. */
  readonly application: number
}

/** An upstream that promises a kilobyte and breaks off. */
const lying = (port: number) =>
  LocalServer.listen(
    Net.createServer((socket) => {
      socket.once("data", () =>
        socket.end("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":"))
    }),
    { port }
  )

const application = (port: number) =>
  `location /application/ {
      access_log off;
      proxy_pass http://127.0.0.1:${port}; proxy_http_version 1.1; proxy_next_upstream off; proxy_buffering off;
      proxy_connect_timeout 2s; proxy_read_timeout 2s;
    }`

const configuration = (directory: string, ports: Ports) => `
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  log_format seen '$host $request $http_acme_token $http_authorization $http_cookie $request_body';
  log_format appended '$request_uri';
  limit_req_zone $server_port zone=slow:1m rate=20r/s;
  reset_timedout_connection on;
  default_type application/json;
  gzip on; gzip_types application/json; gzip_min_length 1;
  server {
    listen 127.0.0.1:${ports.http};
    add_header X-Request-Id $request_id always;
    location /ok { return 200 '{"id":"7"}'; }
    location /limited { limit_req zone=slow; limit_req_status 429; try_files /ok.json =404; root ${directory}; }
    location /busy { limit_req zone=slow; try_files /ok.json =404; root ${directory}; }
    location /reset { return 444; }
    location /truncated { proxy_pass http://127.0.0.1:${ports.lying}; }
    location /dead { proxy_pass http://127.0.0.1:${ports.dead}; }
    location /html { default_type text/html; return 200 '<!DOCTYPE html><title>Please log in</title>'; }
    location /upload { client_max_body_size 1k; proxy_pass http://127.0.0.1:${ports.dead}; }
    location /echo { return 400 '{"message":"unknown token $http_acme_token, $arg_key"}'; }
    location /away { return 307 http://localhost:${ports.elsewhere}/stolen?token=$arg_key; }
    location /near { return 307 /ok; }
    ${application(ports.application)}
  }
  server { listen 127.0.0.1:${ports.elsewhere}; access_log seen.log seen; return 200 'thanks'; }
  server { listen 127.0.0.1:${ports.good} ssl; ssl_certificate good.pem; ssl_certificate_key good.key; return 200 '{"id":"tls"}'; }
  server { listen 127.0.0.1:${ports.expired} ssl; ssl_certificate expired.pem; ssl_certificate_key expired.key; return 200 ''; }
  server { listen 127.0.0.1:${ports.other} ssl; ssl_certificate other.pem; ssl_certificate_key other.key; return 200 ''; }
  server {
    listen 127.0.0.1:${ports.http2} ssl http2; ssl_certificate good.pem; ssl_certificate_key good.key;
    keepalive_requests 25; add_header X-Request-Id $request_id always; access_log appended.log appended;
    location / { try_files /ok.json =404; root ${directory}; error_page 405 =200 @ok; }
    location @ok { return 200 '{"id":"7"}'; }
    ${application(ports.application)}
  }
  server {
    listen 127.0.0.1:${ports.mutual} ssl; ssl_certificate good.pem; ssl_certificate_key good.key;
    ssl_client_certificate ca.pem; ssl_verify_client on; return 200 '{"id":"$ssl_client_s_dn"}';
  }
}
`

/** A running nginx. */
export const nginx = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  const pem = yield* certificates(directory)
  const ports: Ports = {
    http: yield* LocalServer.freePort,
    elsewhere: yield* LocalServer.freePort,
    good: yield* LocalServer.freePort,
    expired: yield* LocalServer.freePort,
    other: yield* LocalServer.freePort,
    mutual: yield* LocalServer.freePort,
    http2: yield* LocalServer.freePort,
    lying: yield* LocalServer.freePort,
    dead: yield* LocalServer.freePort,
    application: yield* LocalServer.freePort
  }
  yield* lying(ports.lying)
  Fs.writeFileSync(Path.join(directory, "nginx.conf"), configuration(directory, ports))
  Fs.writeFileSync(Path.join(directory, "ok.json"), `{"id":"7"}`)
  Fs.writeFileSync(Path.join(directory, "seen.log"), "")
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(binary, ["-p", directory, "-c", "nginx.conf", "-e", "error.log"], { stdio: "ignore" })),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGCONT")
        child.kill("SIGTERM")
      })
  )
  const ready = Effect.callback<void, SetupFailed>((resume) => {
    const socket = Net.connect(ports.http, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.on("error", () => {
      const log = Path.join(directory, "error.log")
      resume(Effect.fail(new SetupFailed({ message: Fs.existsSync(log) ? Fs.readFileSync(log, "utf8") : "no nginx" })))
    })
  })
  yield* Effect.retry(ready, { times: 100, schedule: Schedule.spaced(50) })
  const log = (name: string) => {
    const file = Path.join(directory, name)
    return Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : ""
  }
  // A process that is stopped is silent: its connections stand, and the system accepts new ones for it.
  const silent = Effect.acquireRelease(
    Effect.sync(() => server.kill("SIGSTOP")),
    () => Effect.sync(() => server.kill("SIGCONT"))
  )
  return {
    directory,
    ports,
    pem,
    silent,
    seen: () => log("seen.log"),
    appended: () => log("appended.log").split("\n").filter((line) => line !== "")
  }
})
