/**
 * Relays loopback connections to ports inside a guest, through a small relay program run there per connection. TLS of encrypted
 * ports ends here; the guest sees plain TCP. Knows nothing of who made the certificate.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type Guest } from "./engine/engine.ts";

const mostConnections = 64;
const handshakeLimitMs = 10_000;

interface Tunnel {
  guestPort: number;
  /** on 127.0.0.1 of the host */
  hostPort: number;
  unencrypted: boolean;
}
export interface TunnelPort {
  port: number;
  unencrypted: boolean;
  /** the program behind it speaks HTTP/2 without TLS */
  http2: boolean;
}
export interface TlsIdentity {
  cert: string;
  key: string;
}
export interface Tunnels {
  readonly open: Tunnel[];
  close(): Promise<void>;
}

// the first of these that the guest has: standard input and output become the connection
const relayScript = `P=$1
if command -v socat >/dev/null 2>&1; then exec socat - "TCP:127.0.0.1:$P"; fi
if command -v node >/dev/null 2>&1; then exec node -e 'const s=require("net").connect(+process.argv[1],"127.0.0.1");process.stdin.pipe(s);s.pipe(process.stdout);s.on("error",()=>process.exit(1));s.on("close",()=>process.stdout.write("",()=>process.exit(0)))' "$P"; fi
if command -v python3 >/dev/null 2>&1; then exec python3 -c 'import os,socket,sys,threading
s=socket.create_connection(("127.0.0.1",int(sys.argv[1])))
def up():
  while d:=os.read(0,65536): s.sendall(d)
  s.shutdown(socket.SHUT_WR)
threading.Thread(target=up,daemon=True).start()
while d:=s.recv(65536):
  while d: d=d[os.write(1,d):]' "$P"; fi
if command -v bash >/dev/null 2>&1; then exec bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1; cat <&3 & cat >&3; wait' "$P"; fi
exit 127`;

export async function openTunnels(guest: Guest, ports: TunnelPort[], identity: TlsIdentity): Promise<Tunnels> {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const open: Tunnel[] = [];

  async function relay(socket: Socket, port: number): Promise<void> {
    socket.on("error", () => socket.destroy());
    socket.pause();
    const process = await guest.exec({
      argv: ["/bin/sh", "-c", relayScript, "relay", String(port)],
      env: {},
      workdir: "/",
      timeoutMs: null,
      pty: false,
    });
    socket.on("close", () => void process.kill().catch(() => {}));
    if (socket.destroyed) return process.kill();
    process.onOutput((fd, bytes) => {
      if (fd === 1) socket.write(bytes);
    });
    void process.exit.then(() => socket.end());
    try {
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) await process.write(chunk);
      await process.closeStdin();
    } catch {
      socket.destroy();
    }
  }

  function listenFor({ port, unencrypted, http2 }: TunnelPort): Server {
    const accept = (socket: Socket) => {
      relay(socket, port).catch(() => socket.destroy());
    };
    const options = { allowHalfOpen: true };
    const server = unencrypted
      ? createServer(options, accept)
      : createTlsServer(
          { ...options, ...identity, handshakeTimeout: handshakeLimitMs, ALPNProtocols: [http2 ? "h2" : "http/1.1"] },
          accept,
        );
    // below TLS as well: a connection that never shakes hands has to go with the tunnel
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.maxConnections = mostConnections;
    return server;
  }

  async function close(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  try {
    for (const each of ports) {
      const server = listenFor(each);
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("The tunnel's listener has no port.");
      open.push({ guestPort: each.port, hostPort: address.port, unencrypted: each.unencrypted });
    }
    return { open, close };
  } catch (cause) {
    await close();
    throw cause;
  }
}
