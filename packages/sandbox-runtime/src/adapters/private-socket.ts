/** A unix socket that only this user's processes reach. Knows nothing of what is said on it. */
import { rm } from "node:fs/promises";
import { type Server } from "node:net";

/** Rejects when the path cannot be bound. What an earlier life left there is removed. */
export async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  await rm(socketPath, { force: true });
  const listening = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
  });
  // The path is bound within the call. The mask is the whole process', so nothing else may run under it.
  const previous = process.umask(0o177);
  try {
    server.listen(socketPath);
  } finally {
    process.umask(previous);
  }
  await listening;
}

/** Its connections are the caller's to end; waits for them. */
export async function closeSocket(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await rm(socketPath, { force: true });
}
