/** Who is logged in, with the way in and the way out. */
import { type Me } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { useLocation, useNavigate } from "@tanstack/react-router";
import { ChevronsUpDown, LoaderCircle, LogIn, LogOut } from "lucide-react";
import { loginAddress, logOut, useMe } from "../lib/login.ts";
import { useServices } from "../lib/services.tsx";
import { Avatar } from "../ui/avatar.tsx";
import { Button } from "../ui/button.tsx";
import { Menu } from "../ui/menu.tsx";
import { ErrorNotice } from "../ui/page.tsx";

const itemStyles =
  "flex w-full items-center gap-2 rounded-md px-2.5 py-2 text-left text-sm hover:bg-hover disabled:opacity-60 [&_svg]:size-4 [&_svg]:text-faint";

/** @param isSmall the face alone, the panel below it; else a row with the name, the panel above it */
export function AccountMenu({ isSmall = false }: { isSmall?: boolean }) {
  const me = useMe();
  const { href } = useLocation();
  if (me === undefined) return null;
  if (me.person === null) {
    return me.canLogIn ? (
      <Button asChild className={isSmall ? undefined : "w-full"}>
        <a href={loginAddress(href)}>
          <LogIn aria-hidden="true" />
          Log in{isSmall ? null : " with GitHub"}
        </a>
      </Button>
    ) : null;
  }
  const { person } = me;
  return (
    <Menu
      {...(isSmall ? { label: `Account: ${person.name}` } : {})}
      trigger={
        <>
          <Avatar person={person} imageUrl={me.avatarUrl} />
          {isSmall ? null : (
            <>
              <span className="min-w-0 flex-1 truncate">
                <span className="sr-only">Account: </span>
                {person.name}
              </span>
              <ChevronsUpDown aria-hidden="true" className="size-3.5 shrink-0 text-faint" />
            </>
          )}
        </>
      }
      triggerClassName={
        isSmall
          ? "flex size-9 items-center justify-center rounded-full hover:bg-hover"
          : "flex h-9 w-full items-center gap-2 rounded-md px-2 text-left text-sm hover:bg-hover aria-expanded:bg-hover"
      }
      panelClassName={isSmall ? "top-10 right-0 w-64" : "inset-x-0 bottom-10"}
    >
      <div className="border-line px-2.5 pt-1.5 pb-2 not-last:mb-1 not-last:border-b">
        <p className="truncate font-medium text-sm">{person.name}</p>
        <p className="break-words text-muted text-xs">{describe(me)}</p>
      </div>
      {me.via === "github" ? <LogOutItem /> : null}
      {me.via === "developer" && me.canLogIn ? (
        <a href={loginAddress(href)} className={itemStyles}>
          <LogIn aria-hidden="true" />
          Log in with GitHub
        </a>
      ) : null}
    </Menu>
  );
}

function describe({ via, person, canLogIn }: Me): string {
  if (via === "github") return `${person?.login ?? "Logged in"} at GitHub`;
  return canLogIn ? "Whoever is on this machine" : "Whoever is on this machine; there is no login here";
}

function LogOutItem() {
  const { api, queryClient } = useServices();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: () => logOut(api, queryClient, () => navigate({ to: "/login", search: {} })),
  });
  return (
    <>
      {leave.isError ? <ErrorNotice error={leave.error} className="mb-1" /> : null}
      <button type="button" disabled={leave.isPending} onClick={() => leave.mutate()} className={itemStyles}>
        {leave.isPending ? <LoaderCircle aria-hidden="true" className="animate-spin" /> : <LogOut aria-hidden="true" />}
        Log out
      </button>
    </>
  );
}
