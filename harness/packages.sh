#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages that a verb needs, with ARCH set. A user other than root gets
# the command that installs them instead.

set -euo pipefail
. "${0%/*}/lib.sh"

# Time limit for another apt-get to finish.
readonly LOCK_SECONDS=600

# PACKAGE<tab>PURPOSE. Every verb needs these.
readonly PACKAGES='
bc		kernel build: kernel/time/timeconst.bc
bison		kernel build: Kconfig
ccache		a second cold build takes a minute
cpio		the initramfs
flex		kernel build: Kconfig
gcc		kernel, test programs
gzip		kernel image
kmod		kernel build: depmod, modinfo
libc6-dev	kernel build: the tools it builds
libelf-dev	kernel build: objtool
make		kernel build
patch		series/*/*.patch
xz-utils	the source package
'

# Those of the architecture are in harness/arch. These are for some verbs only.
readonly BENCH_PACKAGES='
gnuplot-nox	make bench: the plots
'
readonly CLIENTS_PACKAGES='
ibverbs-utils	make clients: ibv_rc_pingpong
iproute2	make clients: ip, rdma, ss
libibverbs-dev	make clients: its programs
perftest	make clients: ib_write_bw
python3-pyverbs	make clients: rdma-core, its tests
'
readonly COVERAGE_PACKAGES='
lcov		make coverage
'
readonly MODEL_PACKAGES='
spin		make model
'
readonly GDB_PACKAGES='
gdb		make gdb: the debugger, in another terminal
'
readonly MUTANTS_PACKAGES='
python3		make mutants
'
readonly SERIES_PACKAGES='
git		make series
'
readonly CHECK_PACKAGES='
clang-format	make check: clang-format
codespell	make check: spelling
coccinelle	make check: coccicheck
gcc-aarch64-linux-gnu	make check: compile
gcc-powerpc64le-linux-gnu	make check: compile
gcc-riscv64-linux-gnu	make check: compile
gcc-s390x-linux-gnu	make check: compile
git		make check: the patches, references
graphviz	make check: htmldocs
perl		make check: checkpatch, kernel-doc
python3		make check: kunit.py
python3-sphinx	make check: htmldocs
rsync		make check: kselftest
shellcheck	make check: shellcheck
sparse		make check: sparse
'

# wanted VERB
wanted()
{
	local packages=$PACKAGES GUEST_PACKAGES

	# shellcheck source=harness/arch/x86_64.sh
	. "$HARNESS/arch/$ARCH.sh"
	packages+=$GUEST_PACKAGES
	case $1 in
	bench)			packages+=$BENCH_PACKAGES ;;
	clients)		packages+=$CLIENTS_PACKAGES ;;
	coverage)		packages+=$COVERAGE_PACKAGES ;;
	mutants)		packages+=$MUTANTS_PACKAGES ;;
	model)			packages+=$MODEL_PACKAGES ;;
	gdb)			packages+=$GDB_PACKAGES ;;
	series | series-check)	packages+=$SERIES_PACKAGES ;;
	check)			packages+=$CHECK_PACKAGES ;;
	esac
	awk 'NF { print $1 }' <<< "$packages"
}

# missing VERB: print the packages of wanted() that are not installed.
missing()
{
	local wanted

	wanted=$(wanted "$1")
	# dpkg-query fails if it does not know one of the packages, but prints
	# the status of the others.
	# shellcheck disable=SC2086 # package names
	{ dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted \
		2>/dev/null || [ $? -eq 1 ]; } |
		awk -v wanted="$wanted" '
			$2 == "installed" { have[$1] = 1 }
			END {
				n = split(wanted, want, "\n")
				for (i = 1; i <= n; i++)
					if (!(want[i] in have))
						print want[i]
			}'
}

# update: run apt-get update. DPkg::Lock::Timeout does not cover the lock of the
# package lists, so try again while another apt-get holds it.
update()
{
	local said waited

	for ((waited = 0; ; waited++)); do
		if said=$(LC_ALL=C apt-get update 2>&1); then
			printf '%s\n' "$said"
			return
		fi
		printf '%s\n' "$said"
		[ "$waited" -lt "$LOCK_SECONDS" ] &&
			grep -q 'Could not get lock' <<< "$said" || return
		sleep 1
	done
}

# install PACKAGE...: run by progress.sh. apt-get finds out that the package
# lists are missing or old when it fails to install.
install()
{
	local apt=(apt-get -o "DPkg::Lock::Timeout=$LOCK_SECONDS" install -y
		--no-install-recommends "$@")

	export DEBIAN_FRONTEND=noninteractive
	"${apt[@]}" || { update && "${apt[@]}"; }
}

if [ "${1-}" = --install ]; then
	shift
	install "$@"
	exit
fi
[ $# -eq 2 ] || die "usage: packages.sh LOG VERB"
type dpkg-query apt-get > /dev/null 2>&1 ||
	die "this needs a Debian machine (dpkg, apt-get)"
mapfile -t packages < <(missing "$2")
[ ${#packages[@]} -gt 0 ] || exit 0
[ "$(id -u)" -eq 0 ] ||
	die "packages are missing; as root, run" \
	    "apt-get install -y --no-install-recommends ${packages[*]}"
"${0%/*}/progress.sh" "installing ${packages[*]}" "$1" \
	"$0" --install "${packages[@]}" || exit "$BUILD_FAILED"
