/** For whoever is not logged in: why not, and the way in. */
import { type LoginError, type Me } from "@open-inspect/protocol";
import { CircleAlert, Layers, LogIn } from "lucide-react";
import { type ReactNode } from "react";
import { useTitle } from "../../lib/clock.ts";
import { loginAddress, loginErrorWords, useEmptyCache, useMe } from "../../lib/login.ts";
import { Button } from "../../ui/button.tsx";

/** @param back the path to return to */
export function LoginPage({ back, error }: { back: string; error: LoginError | null }) {
  useTitle("Log in");
  useEmptyCache();
  const me = useMe();
  return (
    <main className="flex min-h-dvh flex-col items-center justify-center bg-sunken px-4 py-10 text-fg">
      <div className="w-full max-w-sm rounded-lg border border-line bg-raised p-6 shadow-card sm:p-8">
        <span aria-hidden="true" className="mb-4 flex size-9 items-center justify-center rounded-lg bg-solid text-on-solid">
          <Layers className="size-5" />
        </span>
        <h1 className="font-semibold text-xl tracking-tight">Log in to Open-Inspect</h1>
        <p className="mt-1 mb-5 text-muted text-sm">
          Agents work on your repositories: commits and pull requests carry the name you log in with.
        </p>
        {error === null ? null : <Reason error={error} />}
        <Ways me={me} back={back} />
      </div>
    </main>
  );
}

function Reason({ error }: { error: LoginError }) {
  const { message, hint } = loginErrorWords[error];
  return (
    <div role="alert" data-login-error={error} className="mb-5 flex gap-2.5 rounded-md bg-bad-soft px-3.5 py-2.5 text-sm">
      <CircleAlert aria-hidden="true" className="mt-0.5 size-4 shrink-0 text-bad" />
      <div className="min-w-0 break-words">
        <p className="font-medium text-bad">{message}</p>
        <p className="text-fg/80">{hint}</p>
      </div>
    </div>
  );
}

function Ways({ me, back }: { me: Me | undefined; back: string }) {
  // Nobody waits for an answer to press the button: where there is no login, the server says so.
  const canLogIn = me?.canLogIn ?? true;
  return (
    <div className="space-y-3">
      {me?.via != null && me.person !== null ? (
        <Way
          href={back}
          look={me.via === "github" || !canLogIn ? "solid" : "outline"}
          note={me.via === "github" ? "You are logged in already." : "This machine needs no login."}
        >
          Continue as {me.person.name}
        </Way>
      ) : null}
      {!canLogIn ? (
        me?.via == null ? (
          <p role="alert" className="text-sm">
            Nobody can log in here yet: the login with GitHub is not set up. Whoever runs this installation sets{" "}
            <code className="font-mono text-xs">GITHUB_CLIENT_ID</code>,{" "}
            <code className="font-mono text-xs">GITHUB_CLIENT_SECRET</code> and{" "}
            <code className="font-mono text-xs">LOGIN_ACCOUNTS</code>.
          </p>
        ) : null
      ) : me?.via === "github" ? null : (
        <Way href={loginAddress(back)} look="solid" note={null}>
          <LogIn aria-hidden="true" />
          Log in with GitHub
        </Way>
      )}
    </div>
  );
}

interface WayProps {
  href: string;
  look: "solid" | "outline";
  note: string | null;
  children: ReactNode;
}

/** A plain link: the page that it leads to begins anew, with nothing of before. */
function Way({ href, look, note, children }: WayProps) {
  return (
    <div>
      {note === null ? null : <p className="mb-1.5 text-muted text-sm">{note}</p>}
      <Button asChild look={look} size="md" className="w-full">
        <a href={href}>{children}</a>
      </Button>
    </div>
  );
}
