#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	harness.sh [TEST]...
#
# Tests of the harness that need no guest: each function test_NAME below is one.
# It runs in an empty folder, may replace programs of this machine (apt-get, rm,
# ...) by scripts in bin there, and passes if it reaches its end. Output is TAP.
# One test needs BASE, a base whose source is unpacked.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
harness=${here%/*}
top=${harness%/*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# fails COMMAND...
fails()
{
	if "$@"; then
		echo "did not fail: $*"
		return 1
	fi
}

# program NAME: replace that program by the script on stdin.
program()
{
	mkdir -p bin
	{ echo '#!/bin/bash'; cat; } > "bin/$1"
	chmod +x "bin/$1"
}

# alone COMMAND...: run it without settings in the environment, and with bin
# first in PATH.
alone()
{
	env -i PATH="$PWD/bin:$PATH" HOME="$PWD" work="$PWD" "$@"
}

# checkout: make a checkout in "tree" that stops before it installs packages.
checkout()
{
	mkdir tree
	cp -r "$top/Makefile" "$harness" "$top/series" "$top/configs" tree/
	printf '#!/bin/sh\necho went on\nexit 4\n' > tree/harness/packages.sh
}

# make_in_tree ARGUMENT...: run make; its output is in "out", its status in
# $status.
make_in_tree()
{
	status=0
	(cd tree && alone make "$@") > out 2>&1 || status=$?
}

# refused TEXT ARGUMENT...: make prints one line that begins with TEXT, and
# exits with 4.
refused()
{
	local text=$1
	shift

	make_in_tree "$@"
	echo "make $*: status $status, $(< out)"
	[ "$status" -eq 4 ]
	[ "$(wc -l < out)" -eq 1 ]
	[[ $(< out) == "hmm: $text"* ]]
}

# accepted ARGUMENT...
accepted()
{
	make_in_tree "$@"
	echo "make $*: status $status, $(< out)"
	grep -qx 'went on' out
}

test_settings_refused()
{
	checkout
	refused "there is no 'make nonsense'" nonsense
	refused 'KERNEL=9.9: ' tree KERNEL=9.9
	refused 'KERNEL=: ' tree KERNEL=
	refused 'TIMEOUT=abc: ' test TIMEOUT=abc
	refused 'TIMEOUT=0: ' guest CMD=true TIMEOUT=0
	refused 'TIMEOUT=08: ' test TIMEOUT=08
	refused 'JOBS=many: ' kernel JOBS=many
	refused 'DEBUG=maybe: ' test DEBUG=maybe
	refused 'KCSAN=off: ' test KCSAN=off
	refused 'KASAN and KCSAN' test DEBUG=1 KCSAN=1
	refused 'ACCEL=fast: ' run ACCEL=fast
	refused 'ROOT=here: ' guest CMD=true ROOT=here
	refused 'ROOT=/: ' shell ROOT=/
	refused 'ROOT=host: ' guest CMD=true ROOT=host ARCH=arm64
	refused 'ARCH=vax: ' test ARCH=vax
	refused 'ARCH=../arch/arm64: ' test ARCH=../arch/arm64
	refused 'ARCH=: ' test ARCH=
	refused 'PAGES=64K: ' test PAGES=64K
	refused 'PAGES=: ' test ARCH=arm64 PAGES=
	refused 'PAGES=4K 64K: ' test ARCH=arm64 PAGES='4K 64K'
	refused 'ARCH=arm64: ' check ARCH=arm64
	refused 'WITH=none: ' kernel WITH=none
	refused 'WITH=../configs/rdma: ' kernel WITH=../configs/rdma
	refused 'LEAKS=maybe: ' guest CMD=true LEAKS=maybe
	refused 'EXTRA_CONFIG=none: ' kernel EXTRA_CONFIG=none
	refused 'EXTRA_CONFIG=configs: ' kernel EXTRA_CONFIG=configs
	refused 'ROUNDS=0: ' clients KERNEL=mainline ROUNDS=0
	refused 'KERNEL=6.12: ' clients
	refused 'ONLY=none: ' model ONLY=none
	refused 'ONLY=none: ' mutants ONLY=none
	refused 'SHARD=4: ' mutants SHARD=4
	refused 'SHARD=1/0: ' mutants SHARD=1/0
	refused 'COUNT=0: ' mutants COUNT=0
	refused 'SECONDS=0: ' torture SECONDS=0
	refused 'SEED=x: ' torture SEED=x
	refused 'CACHE=here: ' base CACHE=here
	refused 'CACHE=/a b: ' base 'CACHE=/a b'
}

test_settings_accepted()
{
	checkout
	accepted test DEBUG=1 TIMEOUT=3000 JOBS=3 ACCEL=tcg KCSAN=0
	accepted tree KERNEL=mainline DEBUG= TIMEOUT=
	accepted test ARCH=arm64 PAGES=64K
	accepted modules ARCH=arm64 M=harness/tests/driver
	accepted interval-users ARCH=arm64
	accepted series-check ARCH=arm64 PAGES=64K
	accepted guest "CMD=\$(true)" FILES='Makefile harness/front.sh'
	accepted guest CMD=true ROOT=host
	accepted shell ROOT= FILES=Makefile LEAKS=1
	accepted gdb CMD=true EXTRA_CONFIG=configs/trace.config
	accepted test ROOT=elsewhere
	accepted clients KERNEL=mainline ROUNDS=9 ONLY=odp-moving
	accepted modules M=harness/tests/driver
	accepted bench ONLY=snapshot
	accepted check ONLY=sparse
	accepted model ONLY=v54
	accepted coverage ONLY=kunit
	accepted torture SECONDS=60 SEED=7 DEBUG=1
	accepted mutants COUNT=150 SHARD=0/4 ONLY=7
	accepted test ONLY=hmm.anon_read
}

test_module_refused()
{
	checkout
	refused 'say where' modules
	refused "M=$PWD/none: there is no" modules M="$PWD/none"
	[ ! -e none ]
	refused 'M=a b: ' modules 'M=a b'
	[ ! -e tree/a ]
	refused 'M=series: there is neither' modules M=series
}

test_guest_refused()
{
	checkout
	refused 'nothing to run' guest
	refused 'nothing to run' guest 'CMD=  '
	refused 'nothing to run' gdb
	refused 'FILES=none: ' shell FILES=none
	refused 'FILES=none: ' guest CMD=true FILES=none
	refused 'FILES=series: ' guest CMD=true FILES=series
	refused 'FILES=Makefile harness/tests/driver/Makefile: two' \
		guest CMD=true FILES='Makefile harness/tests/driver/Makefile'
}

test_only_refused()
{
	checkout
	refused 'ONLY=none: ' bench ONLY=none
	refused 'ONLY=none: ' check ONLY=none
	refused 'ONLY=none: ' clients KERNEL=mainline ONLY=none
	refused 'ONLY=lib: ' check ONLY=lib
	refused 'ONLY=.: ' test ONLY=.
	refused 'ONLY=a b: ' test 'ONLY=a b'
}

# boot SETTING...: run boot.sh with a QEMU that only writes its arguments to
# "arguments".
boot()
{
	program qemu-system-x86_64 <<-'END'
		printf '%s\n' "$@" > "$work/arguments"
	END
	cp bin/qemu-system-x86_64 bin/qemu-system-aarch64
	rm -f arguments
	alone RESULTS="$PWD" ACCEL=tcg ARCH=x86_64 PAGES=4K "$@" \
		"$harness/guest/boot.sh" quiet 60 image initrd
	grep -qx initrd arguments
}

# The architecture's file gives the machine, its ports and its boot options.
test_boot_of_architecture()
{
	boot
	[ "$(grep -xc -e -serial arguments)" -eq 3 ]
	[[ $(grep -x -A 1 -e -append arguments) == *' hugepages=128 '* ]]
	boot ARCH=arm64
	[ "$(grep -xc -e -serial arguments)" -eq 1 ]
	[ "$(grep -xc 'pci-serial,chardev=result' arguments)" -eq 1 ]
	grep -q '^virt,.*smmuv3' arguments
	[[ $(grep -x -A 1 -e -append arguments) == *' hugepages=128 '* ]]
	boot ARCH=arm64 PAGES=64K
	fails grep -w 'hugepages=128' arguments
}

# The skips of one architecture are failures on another.
test_skips_of_architecture()
{
	local name

	cp -r "$harness/verdict/cases/common" run
	cp "$harness/verdict/cases/skip-listed/result" run/
	mkdir harness
	cp -r "$harness/verdict" harness/
	mkdir harness/arch
	cp "$harness/verdict/cases/skip-listed/skips" harness/arch/this.skips
	for name in this other; do
		alone HMM_SKIPS=/dev/null ARCH="$name" harness/verdict/verdict.sh \
			run > "$name" || true
	done
	tail -n 1 this other
	[[ $(tail -n 1 this) == *', 0 failed, 1 skipped' ]]
	[[ $(tail -n 1 other) == *', 1 failed, 0 skipped' ]]
}

# guest_job VERB SETTING...: run guest.sh as far as its list of steps, which is
# results/job then.
guest_job()
{
	local verb=$1 script
	shift

	mkdir -p kbuild base
	touch kbuild/.config base/version
	rm -rf harness
	cp -r "$harness" harness
	for script in guest/boot verdict/verdict; do
		echo '#!/bin/sh' > "harness/$script.sh"
	done
	# Without gen_init_cpio the files can only be listed.
	sed -i "s/^\tpack\$/\tprintf '%s\\\\n' \"\${files[@]}\" > \"\$RESULTS\/packed\"/" \
		harness/guest/guest.sh
	alone KBUILD="$PWD/kbuild" BASE="$PWD/base" HARNESS="$PWD/harness" \
		RESULTS="$PWD/results" GUEST="$PWD/guest" IMAGE=image OUT="$PWD" \
		FLAVOUR=plain "$@" \
		harness/guest/guest.sh "$verb"
}

# The guest gets the host's files only with ROOT=host, and cannot write them.
test_root_of_host()
{
	boot ROOT=
	fails grep 9p arguments
	boot ROOT=host
	cat arguments
	grep -q '^virtio-9p-pci,.*fsdev=host' arguments
	[[ $(grep -x -A 1 -e -fsdev arguments) == *,id=host,path=/,readonly=on,* ]]
}

# The guest's list of steps is that of ROOT.
test_root_in_job()
{
	guest_job guest CMD=true
	grep -qx 'live guest exec sh /job/command' results/job
	guest_job guest CMD=true ROOT=host
	grep -qx 'live guest exec host-root sh /job/command' results/job
}

# Makes of two kernels run side by side, two of one do not, nor one of a verb
# that needs the tree for itself.
test_two_kernels_at_once()
{
	local debug

	checkout
	printf '#!/bin/sh\n' > tree/harness/packages.sh
	cat > tree/harness/main.mk <<-'END'
		include $(dir $(lastword $(MAKEFILE_LIST)))settings.mk
		tree: ; @echo laid >> ../laid
		check kernel: ; @echo built $(FLAVOUR) $(SHARED); \
			test plain = $(FLAVOUR) || timeout 60 sh -c \
			'echo > ../begun; cat ../go'
	END
	mkfifo begun go
	(cd tree && alone make kernel DEBUG=1) > debug 2>&1 &
	debug=$!
	timeout 60 cat begun
	make_in_tree kernel
	echo "status $status: $(< out)"
	[ "$status" -eq 0 ]
	[ "$(< out)" = 'built plain 1' ]
	refused 'another make is at work in this checkout with this' kernel DEBUG=1
	refused 'another make is at work in this checkout; ' check
	[ "$(wc -l < laid)" -eq 1 ]
	timeout 60 sh -c 'echo > go'
	wait "$debug"
	make_in_tree kernel
	[ "$(wc -l < laid)" -eq 2 ]
}

# The results of earlier runs stay, of the last nine.
test_results_kept()
{
	local n

	for n in {1..12}; do
		guest_job guest CMD="run $n"
	done
	[ "$(< results/command)" = 'run 12' ]
	[ "$(< results.1/command)" = 'run 11' ]
	[ "$(< results.9/command)" = 'run 3' ]
	[ ! -e results.10 ]
}

# FILES takes what make modules has built for this kernel, if it has.
test_files_of_flavour()
{
	mkdir -p driver "debug/modules$PWD/driver"
	touch driver/{a.ko,b.sh} "debug/modules$PWD/driver/a.ko"
	guest_job guest CMD=true OUT="$PWD/debug" FILES='driver/a.ko driver/b.sh'
	cat results/packed
	grep -qx "/files/=$PWD/debug/modules$PWD/driver/a.ko" results/packed
	grep -qx "/files/=driver/b.sh" results/packed
	guest_job guest CMD=true OUT="$PWD/plain" FILES=driver/a.ko
	grep -qx "/files/=driver/a.ko" results/packed
}

# ONLY must name a test of a program.
test_only_names_no_test()
{
	local status=0

	mkdir -p guest/bin
	program lists-none < <(echo 'exit 4')
	sed -n 's/^ktap [^ ]* \([^ ]*\).*/\1/p' "$harness/guest/suites" |
		while read -r name; do
			cp bin/lists-none "guest/bin/$name"
		done
	alone TOP="$top" HARNESS="$harness" GUEST="$PWD/guest" ONLY=nonsense \
		"$harness/guest/suites.sh" > out 2>&1 || status=$?
	cat out
	[ "$status" -eq 4 ]
	grep -q '^hmm: ONLY=nonsense: ' out
	# No name is a pattern: this one has a dot where hmm_walk has none.
	fails alone TOP="$top" HARNESS="$harness" GUEST="$PWD/guest" ONLY=hmm.walk \
		"$harness/guest/suites.sh" > out 2>&1
}

# An interrupted clean leaves a directory complete, or renames it.
test_clean_interrupted()
{
	mkdir -p build/6.12/tree build/6.12/pristine
	touch build/lock build/6.12/version build/6.12/tree/{.laid,Kbuild}
	program rm <<-'END'
		/bin/rm -f -- "$(find "${@: -1}" -name Kbuild)"
		exit 1
	END
	fails alone "$harness/clean.sh" "$PWD/build"
	find build
	[ ! -e build/6.12/tree/.laid ] || [ -e build/6.12/tree/Kbuild ]
	rm bin/rm
	alone "$harness/clean.sh" "$PWD/build"
	[ "$(find build -mindepth 1)" = build/lock ]
}

# archive: make an archive with the packages on stdin (NAME VERSION SUITE).
archive()
{
	program apt-get <<-'END'
		lists=$(sed -n 's/.*Dir::State::Lists=\([^ ]*\).*/\1/p' <<< "$*")
		case $* in
		*indextargets*)
			. /etc/os-release
			echo "$VERSION_CODENAME main archive:/" ;;
		*update*)
			echo 'Codename: fresh-backports' \
				> "$lists/archive_dists_stable-backports_InRelease" ;;
		*download*)
			echo "${@: -1}" > "$work/downloaded"
			exit 1 ;;
		esac
	END
	program apt-cache <<-'END'
		sources=$(sed -n 's/.*Dir::Etc::SourceList=\([^ ]*\).*/\1/p' <<< "$*")
		offered=$(awk 'FNR == NR { has[$3] = 1; next }
			$3 in has' "$sources" "$work/archive")
		case $* in
		*pkgnames*) cut -d ' ' -f 1 <<< "$offered" | sort -u ;;
		*madison*)
			awk -v names="$*" 'index(names, $1) {
				print $1 " | " $2 " | of " $3 }' <<< "$offered" ;;
		esac
	END
	program dpkg-deb <<-'END'
		echo "$2" >> "$work/unpacked"
		exit 1
	END
	cat > archive
}

fetch_mainline()
{
	rm -f downloaded unpacked
	fails alone KERNEL=mainline KSRC='' CACHE="$PWD/cache" \
		"$harness/source/fetch-base.sh" "$PWD/base" > out 2>&1
	cat out
}

test_mainline_release_first()
{
	archive <<-'END'
		linux-source 7.4~rc1-1~exp1 experimental
		linux-source-7.4 7.4~rc1-1~exp1 experimental
		linux-source-7.3 7.3~rc7-1~exp1 experimental
		linux-source-7.3 7.3.4-1~bpo13+1 fresh-backports
		linux-source-7.3 7.3.10-1~bpo13+1 fresh-backports
		linux-source-7.3 7.3.9-1~bpo13+1 stable-backports
		linux-source-7.2 7.2.13-1 unstable
		linux-source-6.19 6.19.99-1 unstable
	END
	fetch_mainline
	[ "$(< downloaded)" = linux-source-7.3=7.3.10-1~bpo13+1 ]
}

test_mainline_candidate_last()
{
	archive <<-'END'
		linux-source-7.4 7.4~rc10-1~exp1 experimental
		linux-source-7.4 7.4~rc9-1~exp1 experimental
		linux-source-6.19 6.19.99-1 unstable
	END
	fetch_mainline
	[ "$(< downloaded)" = linux-source-7.4=7.4~rc10-1~exp1 ]
}

# keep VERSION: put that package of 7.3 into the cache.
keep()
{
	local name=linux-source-7.3_$1_all.deb

	mkdir -p cache/base
	echo "$1" > "cache/base/$name"
	(cd cache/base && sha256sum "$name" > "$name.sha256")
}

test_mainline_cached()
{
	archive <<-'END'
		linux-source-7.3 7.3.4-1 unstable
	END
	keep '7.3~rc7-1~exp1'
	fetch_mainline
	[ "$(< downloaded)" = linux-source-7.3=7.3.4-1 ]
	keep 7.3.9-1
	keep 7.3.10-1
	fetch_mainline
	[ ! -e downloaded ]
	grep -q '/linux-source-7.3_7.3.10-1_all.deb$' unpacked
}

# Another apt-get holds the lock of dpkg, then that of the lists.
test_packages_wait()
{
	program sleep < <(echo 'exit 0')
	program apt-get <<-'END'
		echo "$*" >> "$work/calls"
		case $* in
		*install*)
			[[ $* == *DPkg::Lock::Timeout=[1-9]* ]] || exit 100
			grep -qx updated "$work/calls" ;;
		update)
			if [ "$(grep -cx update "$work/calls")" -lt 3 ]; then
				echo 'E: Could not get lock /lists/lock.' >&2
				exit 100
			fi
			echo updated >> "$work/calls" ;;
		esac
	END
	alone "$harness/packages.sh" --install a b
	[ "$(grep -cx update calls)" -eq 3 ]
}

# No other failure is tried again.
test_packages_fail()
{
	program sleep < <(echo 'exit 0')
	program apt-get <<-'END'
		echo "$*" >> "$work/calls"
		echo 'E: no network' >&2
		exit 100
	END
	fails alone "$harness/packages.sh" --install a b
	[ "$(grep -cx update calls)" -eq 1 ]
}

# wall LINE...: run wall.awk on these lines of hmm-bench.
wall()
{
	printf '%b\n' "$@" > output
	awk -f "$harness/bench/wall.awk" file=rows "$harness/bench/rows" \
		file=output output
}

test_bench_not_measured()
{
	local row='wall\tsnapshot-thp\t0.5\t0.4\t0.6'

	wall "$row" 'hmm-bench: no huge pages: 4096 KiB' \
		'hmm-bench: load failed\r' 'hmm-bench: size-512 failed' > out
	cat out
	grep -qE 'more threads +not measured$' out
	grep -qE '512 pages \(call\) +not measured$' out
	fails wall 'hmm-bench: load failed'
	wall "$row" > out
	fails grep -q 'not measured' out
}

# An architecture may have its own bounds, and then no waivers.
test_bench_bounds_of_architecture()
{
	local bench=(HARNESS="$PWD/harness" RESULTS="$PWD/results" SERIES=none
		     ONLY=snapshot-contiguous harness/bench/bench.sh)

	cp -r "$harness" harness
	cat > harness/guest/guest.sh <<-'END'
		#!/bin/sh
		mkdir -p "$RESULTS"
		printf 'cycles\t1\ncount\t%s\tours\tpage\t5.0\t2\n' \
			"$ONLY" "interval-$ONLY" > "$RESULTS/output.log"
	END
	printf 'snapshot-contiguous\t5\n' > harness/arch/own.bounds
	printf 'snapshot-contiguous\ta reason\n' > harness/bench/waivers
	alone ARCH=own "${bench[@]}"
	printf 'snapshot-contiguous\t4\n' > harness/arch/own.bounds
	fails alone ARCH=own "${bench[@]}"
	# There it has two calls where it may have one, without a waiver.
	fails alone ARCH=x86_64 "${bench[@]}"
}

# In the guest, a crash fails, and a row that was not measured does not.
test_bench_wall_status()
{
	local command

	guest_job wall
	command=$(sed -n 's/^live bench //p' results/job)
	echo "$command"
	program hmm-bench < <(echo "exit \$BENCH_STATUS")
	alone BENCH_STATUS=0 sh -c "$command"
	alone BENCH_STATUS=1 sh -c "$command"
	fails alone BENCH_STATUS=139 sh -c "$command"
}

# The time limits of the base's tests are multiplied.
test_stock_patience()
{
	local selftests=$BASE/pristine/tools/testing/selftests

	cat > limit.c <<-'END'
		#include "kselftest_harness.h"
		unsigned int (alarm)(unsigned int seconds)
		{
			if (seconds)
				printf("limit %u\n", seconds);
			return 0;
		}
		int (poll)(struct pollfd *fds, nfds_t n, int ms)
		{
			printf("limit %d\n", ms / 1000);
			return 0;
		}
		TEST(nothing) { }
		TEST_HARNESS_MAIN
	END
	gcc -w -static -D_GNU_SOURCE= -include "$harness/guest/patience.h" \
		-DHMM_PATIENCE=7 -I"$selftests" \
		-I"$BASE/pristine/tools/include/uapi" limit.c -o limit
	./limit > out 2>&1 || true
	cat out
	grep '^limit' out > limits
	fails grep -vx "limit $((30 * 7))" limits
}

# front_door: make a checkout whose main.mk makes nothing, and whose guest.sh is
# the script on stdin.
front_door()
{
	checkout
	printf '#!/bin/sh\nexit 0\n' > tree/harness/packages.sh
	printf '.PHONY: test tree\ntest tree:\n\t@:\n' > tree/harness/main.mk
	cat > tree/harness/guest/guest.sh
}

# `make VERB` exits with the status of the verb's script.
test_status_of_verb()
{
	local n

	front_door <<-'END'
		#!/bin/sh
		echo "MAKEFLAGS=$MAKEFLAGS" "$@"
		exit "$(cat ../result)"
	END
	for n in 0 1 2 3 4 139; do
		echo "$n" > result
		make_in_tree test KERNEL=6.12
		echo "$n: $status"
		[ "$status" -eq "$n" ]
	done
	# The settings do not reach kbuild as MAKEFLAGS.
	fails grep KERNEL out
	make_in_tree test test
	[ "$status" -eq 139 ]
	[ "$(grep -c MAKEFLAGS= out)" -eq 1 ]
	[ -z "$(find tree/build -name 'status.*')" ]
}

test_status_of_build()
{
	front_door < <(echo 'exit 0')
	printf 'tree:\ntest:\n\t@exit 1\n' > tree/harness/main.mk
	make_in_tree test
	[ "$status" -eq 4 ]
	make_in_tree -n test
	[ "$status" -eq 0 ]
}

# A dry run starts nothing.
test_dry_run()
{
	front_door < <(printf '#!/bin/sh\ntouch ../started\n')
	make_in_tree -n test
	[ ! -e started ]
	make_in_tree -j2 --no-print-directory test
	[ -e started ]
}

# until COMMAND...: wait for it to succeed, half a minute at most.
until_true()
{
	local tries

	for ((tries = 0; tries < 300; tries++)); do
		! "$@" || return 0
		sleep 0.1
	done
	echo "never true: $*"
	return 1
}

# gone ID...: none of these processes is left.
gone()
{
	local id

	for id; do
		! kill -0 "$id" 2>/dev/null || return 1
	done
}

# interrupted SIGNAL TARGET: `make test` is running; send the signal to make
# or, as a terminal does, to its group. Its status is in $status then.
interrupted()
{
	local pid

	rm -f pids
	(cd tree && exec env -i PATH="$PATH" HOME="$PWD" \
		env --default-signal=INT setsid make test) > out 2>&1 &
	pid=$!
	until_true test -s pids
	kill -s "$1" -- "$2$pid"
	# shellcheck disable=SC2046 # several
	until_true gone "$pid" $(cat pids) || {
		kill -KILL -- "-$pid" $(cat pids)
		return 1
	}
	status=0
	wait "$pid" || status=$?
	cat out
	echo "status $status"
	grep -q 'interrupted' out
	# The lock is free again.
	flock -n tree/build/lock true
}

# HACKING.md says to apply it to the core, to see the oracle find it.
test_v54_rule_applies()
{
	patch -d "$top" -p1 --dry-run < "$harness/mutants/v5.4.patch"
}

# Nothing of a verb is left when make is interrupted, in either phase.
test_interrupted_build()
{

	front_door < <(echo 'exit 0')
	# A child of a child, which ignores what make sends to its children.
	cat > tree/stubborn <<-'END'
		#!/bin/bash
		trap '' INT
		bash -c 'echo $$ $PPID >> ../pids; exec tail -f /dev/null'
	END
	chmod +x tree/stubborn
	sed 's/^    /\t/' > tree/harness/main.mk <<-'END'
		tree:
		test:
		    @$(MAKE) -f harness/main.mk deep
		deep:
		    @./stubborn; true
	END
	interrupted INT -
	[ "$status" -eq 130 ]
	interrupted TERM ''
	[ "$status" -eq 143 ]
}

test_interrupted_verb()
{
	front_door <<-'END'
		#!/bin/bash
		bash -c 'echo $$ $PPID >> ../pids; exec tail -f /dev/null'
		exit 1
	END
	interrupted INT -
	[ "$status" -eq 130 ]
	interrupted TERM ''
	[ "$status" -eq 143 ]
}

run()
{
	mkdir "$work/$1"
	cd "$work/$1"
	exec 5>&1
	BASH_XTRACEFD=5
	set -x
	"test_$1"
}

if [ $# -eq 0 ]; then
	mapfile -t tests < <(declare -F | sed -n 's/^declare -f test_//p')
	set -- "${tests[@]}"
fi
echo "TAP version 13"
echo "1..$#"
n=0 failed=0
for name; do
	n=$((n + 1)) status=0
	# In a condition errexit would be off.
	set +e
	(set -e; run "$name") > "$work/log" 2>&1
	status=$?
	set -e
	if [ "$status" -eq 0 ]; then
		echo "ok $n $name"
	else
		sed 's/^/# /' "$work/log"
		echo "not ok $n $name"
		failed=$((failed + 1))
	fi
done
[ "$failed" -eq 0 ]
