/** A TCP relay whose connections a test can cut. */
import { connect, createServer, type Socket } from "node:net";

export interface CuttableProxy {
  port: number;
  aim(port: number): void;
  /** Destroys every open connection; new ones go through. */
  cut(): number;
  close(): Promise<void>;
}

export async function startProxy(): Promise<CuttableProxy> {
  const sockets = new Set<Socket>();
  let target = 0;
  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const cut = () => {
    const open = sockets.size;
    for (const socket of sockets) socket.destroy();
    return open;
  };
  return {
    port: address.port,
    aim: (port) => {
      target = port;
    },
    cut,
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
