/** The environment of what runs in the sandbox: the image's own, with the agent's home and without a proxy for loopback. */

const loopback = ["127.0.0.1", "localhost", "::1"];

/** A copy of `base` for hooks, git and the agent. Holds no secret of ours: those never enter our environment. */
export function childEnvironment(base: NodeJS.ProcessEnv, home: string): NodeJS.ProcessEnv {
  const direct = (base.NO_PROXY ?? base.no_proxy ?? "").split(",").filter((host) => host !== "");
  const noProxy = [...new Set([...direct, ...loopback])].join(",");
  const env: NodeJS.ProcessEnv = { LANG: "C.UTF-8", ...base, HOME: home, NO_PROXY: noProxy, no_proxy: noProxy };
  env.PATH ??= "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return env;
}
