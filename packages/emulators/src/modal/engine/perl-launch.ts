/**
 * The last step of a guest's start where bubblewrap is missing: moves into the guest's root, cuts the capabilities, loads the seccomp
 * program and becomes the guest's first process. util-linux before 2.41 cannot load such a program and Node can make no system
 * call of its own; Perl can, and its `perl-base` is on every Debian and Ubuntu. Builds and tries a script, starts no guest.
 */
import { HOST_ENV, run } from "./host-process.ts";

const TRY_TIMEOUT_MS = 5000;

interface Calls {
  capget: number;
  capset: number;
  pivotRoot: number;
  prctl: number;
  seccomp: number;
  umount2: number;
}
const CALLS: Record<string, Calls> = {
  x64: { capget: 125, capset: 126, pivotRoot: 155, prctl: 157, seccomp: 317, umount2: 166 },
  arm64: { capget: 90, capset: 91, pivotRoot: 41, prctl: 167, seccomp: 277, umount2: 39 },
};
/** The kernel's numbers of the capabilities that guests may keep. */
const CAPABILITY_NUMBERS: Record<string, number> = {
  chown: 0,
  dac_override: 1,
  fowner: 3,
  fsetid: 4,
  kill: 5,
  setgid: 6,
  setuid: 7,
  setpcap: 8,
  net_bind_service: 10,
  sys_chroot: 18,
  setfcap: 31,
};

/**
 * Perl takes string literals for read-only, and a system call might write to them: hence the variables. `root` is empty for a
 * trial, which loads the program and stays where it is.
 */
const scriptFor = (calls: Calls) => `
my ($filter, $root, $keep) = splice @ARGV, 0, 3;
my %keep = map { $_ => 1 } split /,/, $keep;
%ENV = map { /^([^=]*)=(.*)$/s } splice @ARGV, 0, shift @ARGV;
open my $file, "<:raw", $filter or die "$filter: $!\\n";
my $program = do { local $/; <$file> };
close $file;
sub call { my ($name, $number, @rest) = @_; syscall($number, @rest) != -1 or die "$name: $!\\n"; }
if ($root ne "") {
  my ($here, $old, $gone) = (".", "run/.old", "/run/.old");
  chdir $root or die "$root: $!\\n";
  mkdir $old or die "$old: $!\\n";
  call("pivot_root", ${calls.pivotRoot}, $here, $old);
  chdir "/" or die "/: $!\\n";
  call("umount2", ${calls.umount2}, $gone, 2);
  rmdir $gone;
  for my $capability (0 .. 63) {
    next if $keep{$capability};
    last if syscall(${calls.prctl}, 23, $capability, 0, 0, 0) == -1;
    call("prctl", ${calls.prctl}, 24, $capability, 0, 0, 0);
  }
  my $inheritable = 0;
  $inheritable |= 1 << $_ for keys %keep;
  my ($head, $sets) = (pack("L l", 0x20080522, 0), "\\0" x 24);
  # Not by call(), whose arguments are copies.
  syscall(${calls.capget}, $head, $sets) != -1 or die "capget: $!\\n";
  my @sets = unpack "L6", $sets;
  ($sets[2], $sets[5]) = ($inheritable, 0);
  $sets = pack "L6", @sets;
  call("capset", ${calls.capset}, $head, $sets);
}
call("prctl", ${calls.prctl}, 38, 1, 0, 0, 0);
my $loaded = pack "S x![P] P", length($program) / 8, $program;
call("seccomp", ${calls.seccomp}, 1, 0, $loaded);
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n";
`;

export interface PerlLaunch {
  /** where the launcher finds the program's file */
  filterFile: string;
  /** empty: stays in the root that it has, with the rights that it has */
  root: string;
  capabilities: readonly string[];
  env: Record<string, string>;
  /** its first word is a path inside the guest */
  argv: string[];
}

/** @returns argv; null on an architecture without a table */
export function perlLaunch(arch: string, launch: PerlLaunch): string[] | null {
  const calls = CALLS[arch];
  if (calls === undefined) return null;
  const kept = launch.capabilities.map((name) => CAPABILITY_NUMBERS[name]).join(",");
  const env = Object.entries(launch.env).map(([name, value]) => `${name}=${value}`);
  return ["perl", "-e", scriptFor(calls), launch.filterFile, launch.root, kept, String(env.length), ...env, ...launch.argv];
}

/** Whether Perl is here and the kernel takes the program from it; found out by doing it. */
export async function canLaunchWithPerl(arch: string, filterFile: string): Promise<boolean> {
  const argv = perlLaunch(arch, { filterFile, root: "", capabilities: [], env: HOST_ENV, argv: ["/bin/sh", "-c", "exit 0"] });
  if (argv === null) return false;
  return run(argv, { timeoutMs: TRY_TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
}
