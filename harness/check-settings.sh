#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	check-settings.sh VERB	(with VERBS and all settings in the environment)
#
# Fails if VERB cannot work with a setting, before anything is fetched or built.

set -euo pipefail
. "${0%/*}/lib.sh"

[ $# -eq 1 ] || die "usage: check-settings.sh VERB"
verb=$1

# refuse NAME REASON
refuse()
{
	die "${1#TORTURE_}=${!1}: $2"
}

# number NAME: accept no value, or a positive number without leading zeros.
number()
{
	[[ ${!1-} =~ ^([1-9][0-9]{0,5})?$ ]] ||
		refuse "$1" "give a number from 1 to 999999"
}

# switch NAME
switch()
{
	case ${!1-} in
	'' | 0 | 1 | n | no | y | yes) ;;
	*) refuse "$1" "give 1 or 0" ;;
	esac
}

on()
{
	case ${!1-} in
	1 | y | yes) ;;
	*) return 1 ;;
	esac
}

base()
{
	local known

	[[ $KERNEL == */* || ! -f $SERIES/stock.sha256 ]] || return 0
	known=$(cd "$TOP/series" && printf '%s\n' */stock.sha256)
	known=${known//\/stock.sha256/}
	refuse KERNEL "there is no series for it; there is one for ${known//$'\n'/, }"
}

arch()
{
	local known PAGE_SIZES

	known=$(cd "$HARNESS/arch" && printf '%s, ' *.sh)
	known=${known//.sh/}
	[[ $ARCH != */* && -f $HARNESS/arch/$ARCH.sh ]] ||
		refuse ARCH "give one of ${known%, }"
	# shellcheck source=harness/arch/x86_64.sh
	. "$HARNESS/arch/$ARCH.sh"
	[[ $PAGES =~ ^[0-9A-Z]+$ && " $PAGE_SIZES " == *" $PAGES "* ]] ||
		refuse PAGES "$ARCH has ${PAGE_SIZES// /, }"
}

# default_arch: for verbs that do not know other architectures.
default_arch()
{
	[[ $ARCH == x86_64 && $PAGES == 4K ]] ||
		refuse ARCH "make $verb works for x86_64 with 4K pages"
}

cache()
{
	[[ $CACHE == /* && $CACHE != *[[:space:]]* ]] ||
		refuse CACHE "give an absolute path without a space"
}

accel()
{
	case $ACCEL in
	tcg) ;;
	kvm)
		[ "$ARCH" = "$(uname -m)" ] ||
			refuse ACCEL "this machine cannot run $ARCH"
		[[ -r /dev/kvm && -w /dev/kvm ]] ||
			refuse ACCEL "/dev/kvm cannot be opened" ;;
	*) refuse ACCEL "give tcg or kvm" ;;
	esac
}

root()
{
	case ${ROOT-} in
	'') ;;
	host)
		[ "$ARCH" = "$(uname -m)" ] ||
			refuse ROOT "this machine's programs do not run on $ARCH"
		;;
	*) refuse ROOT "give host, or nothing for the guest's own" ;;
	esac
}

# on_demand: the newest LTS has no software device that pages on demand.
on_demand()
{
	[ "$KERNEL" != 6.12 ] ||
		refuse KERNEL "RDMA in software does not page on demand there"
}

# with: the names of files in configs/.
with()
{
	[ -z "${WITH-}" ] || [[ $WITH != */* && -f $TOP/configs/$WITH.config ]] ||
		refuse WITH "there is no configs/$WITH.config"
}

# extra_config: a file of options, as those in configs/.
extra_config()
{
	[ -n "${EXTRA_CONFIG-}" ] || return 0
	[[ $EXTRA_CONFIG != *[[:space:]]* ]] ||
		refuse EXTRA_CONFIG "give a path without a space"
	[[ -f $EXTRA_CONFIG && -r $EXTRA_CONFIG ]] ||
		refuse EXTRA_CONFIG "there is no such file that can be read"
}

shard()
{
	[[ ${SHARD-} =~ ^([0-9]{1,3}/[1-9][0-9]{0,2})?$ ]] ||
		refuse SHARD "give I/N: every N-th mutant, from the I-th on"
}

module()
{
	[ -n "${M-}" ] || die "say where the driver is: make modules M=DIR"
	[[ $M != *[[:space:]:]* ]] ||
		refuse M "kbuild takes no path with a space or a colon"
	[ -d "$M" ] || refuse M "there is no such directory"
	[[ -f $M/Kbuild || -f $M/Makefile ]] ||
		refuse M "there is neither a Kbuild nor a Makefile in it"
}

files()
{
	local file twice

	# shellcheck disable=SC2086 # guest.sh splits and expands it as well
	set -- ${FILES-}
	[ $# -gt 0 ] || return 0
	for file; do
		file=$(built "$file")
		[[ -f $file && -r $file ]] ||
			refuse FILES "there is no file $file that can be read"
	done
	twice=$(printf '%s\n' "${@##*/}" | sort | uniq -d)
	[ -z "$twice" ] ||
		refuse FILES "two are named $twice, and all go into one folder"
}

command_given()
{
	[[ ${CMD-} == *[![:space:]]* ]] ||
		die "nothing to run in the guest: give CMD='...'"
}

# suites.sh checks names of tests: it needs the built programs for that.
only()
{
	[ -n "${ONLY-}" ] || return 0
	case $verb in
	test | coverage)
		[[ $ONLY =~ ^[A-Za-z0-9_.-]*[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] ||
			refuse ONLY "it names no suite and no test" ;;
	bench)
		awk -F '\t' '
			!/^(#|$)/ && index($1, ENVIRON["ONLY"]) { found = 1 }
			END { exit !found }' "$HARNESS/bench/rows" ||
			refuse ONLY "it names no row of harness/bench/rows" ;;
	clients)
		awk '!/^(#|$)/ && $2 == ENVIRON["ONLY"] { found = 1 }
			END { exit !found }' "$HARNESS/clients/suites" ||
			refuse ONLY "it names no suite of harness/clients/suites" ;;
	mutants) number ONLY ;;
	model)
		awk '!/^(#|$)/ && $1 == ENVIRON["ONLY"] { found = 1 }
			END { exit !found }' "$HARNESS/model/cases" ||
			refuse ONLY "it names no case of harness/model/cases" ;;
	check)
		[[ $ONLY != */* &&
		   -f $HARNESS/check/checks/$ONLY.sh ]] ||
			refuse ONLY "it names no check of harness/check/checks" ;;
	esac
}

[[ " $VERBS " == *" $verb "* ]] || die "there is no 'make $verb'; see make help"
[ "$verb" != clean ] || exit 0
base
arch
cache
number JOBS
number TIMEOUT
number ROUNDS
number COUNT
number TORTURE_SECONDS
number TORTURE_SEED
switch DEBUG
switch KCSAN
switch LEAKS
! on DEBUG || ! on KCSAN ||
	die "KASAN and KCSAN exclude each other: give DEBUG=1 or KCSAN=1"
with
extra_config
case $verb in
run | test | bench | guest | gdb | shell | clients | coverage | torture | \
	fuzz | mutants) accel ;;
esac
case $verb in
guest | gdb | shell) root ;;
clients) on_demand ;;
mutants) shard ;;
esac
case $verb in
clients | check | series)
	default_arch ;;
esac
case $verb in
modules) module ;;
guest | gdb)
	command_given
	files
	;;
shell) files ;;
esac
only
