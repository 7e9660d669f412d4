# SPDX-License-Identifier: GPL-2.0
# Reads all files of one run and judges it. verdict.sh assigns "file" before
# each of them. Plain awk, which mawk runs too.
#
# The run counts as lost until every required part has been read: the absence of
# errors is no success. Every problem is added to "failed", so that the last
# line and the exit status always agree.

BEGIN {
	passed = failed = skipped = 0
	nr_windows = nr_policy = nr_skips = nr_fails = nr_planned = 0
	splats = lost = 0
	# Without a report, the user sees only the output of the programs. The
	# status of a user's command is not judged.
	quiet = (mode != "test")
	foreign = (mode == "guest" || mode == "tty")
}

{ sub(/\r$/, "") }

# --- the lists, and the files of the harness ---

function starts(line, word)
{
	return substr(line, 1, length(word)) == word
}

# CLASS<tab>REGEX<tab>MEANING
file == "policy" && /^[a-z]/ {
	split($0, field, "\t")
	policy_class[++nr_policy] = field[1]
	policy_regex[nr_policy] = field[2]
	policy_meaning[nr_policy] = field[3]
	next
}

# SUITE<tab>TEST-REGEX<tab>REASON
file == "skips" && /^[^#]/ {
	split($0, field, "\t")
	skip_suite[++nr_skips] = field[1]
	skip_regex[nr_skips] = "^(" field[2] ")$"
	skip_reason[nr_skips] = field[3]
	next
}

# The same for tests that fail on this base.
file == "fails" && /^[^#]/ {
	split($0, field, "\t")
	fail_suite[++nr_fails] = field[1]
	fail_regex[nr_fails] = "^(" field[2] ")$"
	fail_reason[nr_fails] = field[3]
	next
}

file == "config" && /^CONFIG_/ {
	config[$0] = 1
	next
}

# The list of steps that PID 1 worked off.
file == "job" && /^(kunit|ktap|plain|live|tty) / {
	planned[$2] = $1
	plan_order[++nr_planned] = $2
	next
}

file == "qemu" {
	qemu_end = $0
	next
}

# --- problems ---

function say(kind, text)
{
	report[++nr_report] = sprintf("%-7s %s", kind, text)
}

function problem_lost(text)
{
	lost++
	failed++
	say("lost", text)
}

function problem_splat(text)
{
	splats++
	failed++
	say("splat", text)
}

function problem_failed(text)
{
	failures++
	failed++
	say("failed", text)
}

# --- KTAP: the indent gives the level ---

function level_open(depth)
{
	level_plan[depth] = -1
	level_seen[depth] = 0
	level_known[depth] = 1
	level_mark[depth] = suite_failed + suite_excused
}

function level_check(depth, what)
{
	if (level_plan[depth] >= 0 && level_plan[depth] != level_seen[depth])
		problem_failed(suite ": " what " planned " level_plan[depth] \
			       " results, gave " level_seen[depth])
	else if (level_plan[depth] < 0 && depth == 0)
		problem_failed(suite ": no plan")
	delete level_known[depth]
}

# Close all levels below depth; returns the number of results in them.
function levels_close(depth, what,	d, had)
{
	had = 0
	for (d = 64; d > depth; d--) {
		if (!(d in level_known))
			continue
		had += level_seen[d]
		level_check(d, what)
	}
	return had
}

function skip_listed(name,	i)
{
	for (i = 1; i <= nr_skips; i++)
		if (skip_suite[i] == suite && name ~ skip_regex[i])
			return i
	return 0
}

function count_skip(name, why,	i)
{
	i = skip_listed(name)
	if (i) {
		skipped++
		suite_skipped++
		say("skip", suite ": " name ": " why " (" skip_reason[i] ")")
	} else {
		problem_failed(suite ": " name ": skipped, and not on the " \
			       "list: " why)
		suite_failed++
	}
}

function show_notes(	i)
{
	for (i = nr_notes > 12 ? nr_notes - 11 : 1; i <= nr_notes; i++)
		say("", "  " notes[i])
}

function fail_listed(name,	i)
{
	for (i = 1; i <= nr_fails; i++)
		if (fail_suite[i] == suite && name ~ fail_regex[i])
			return i
	return 0
}

# A test on the list of failures. If it passes, the list is wrong.
function count_excused(good, name, i)
{
	if (good) {
		problem_failed(suite ": " name ": passed, and is on the list " \
			       "of those that fail")
		suite_failed++
		return
	}
	skipped++
	suite_skipped++
	suite_excused++
	say("known", suite ": " name ": fails (" fail_reason[i] ")")
}

function count_leaf(good, name, why,	i)
{
	i = fail_listed(name)
	if (why ~ /^(SKIP|XFAIL)/) {
		sub(/^[A-Z]+[: ]*/, "", why)
		count_skip(name, why)
	} else if (i) {
		count_excused(good, name, i)
	} else if (good) {
		passed++
		suite_passed++
	} else {
		problem_failed(suite ": " name)
		show_notes()
		suite_failed++
	}
}

# "ok 3 name # SKIP reason" at the given depth
function ktap_result(line, depth,	good, number, name, why, i, nested)
{
	good = starts(line, "ok ")
	sub(/^(not )?ok /, "", line)
	number = line + 0
	sub(/^[0-9]+ ?(- )?/, "", line)
	why = ""
	i = index(line, "# ")
	if (i) {
		why = substr(line, i + 2)
		line = substr(line, 1, i - 1)
	}
	name = line
	sub(/ +$/, "", name)

	nested = levels_close(depth, name)
	if (!(depth in level_known))
		level_open(depth)
	level_seen[depth]++
	if (number != level_seen[depth])
		problem_failed(suite ": " name ": result " number \
			       " where " level_seen[depth] " was due")
	if (!nested)
		count_leaf(good, name, why)
	else if (!good &&
		 suite_failed + suite_excused == level_mark[depth]) {
		problem_failed(suite ": " name \
			       ": not ok, though all its tests are")
		show_notes()
		suite_failed++
	}
	level_mark[depth] = suite_failed + suite_excused
	nr_notes = 0
}

function ktap_line(line,	depth)
{
	match(line, /^ */)
	depth = RLENGTH
	line = substr(line, depth + 1)
	if (line ~ /^K?TAP version [0-9]+$/)
		level_open(depth)
	else if (line ~ /^1\.\.[0-9]+$/) {
		if (!(depth in level_known))
			level_open(depth)
		level_plan[depth] = substr(line, 4) + 0
	} else if (line ~ /^(not )?ok [0-9]+( |$)/)
		ktap_result(line, depth)
	else if (line ~ /^Bail out!/)
		problem_failed(suite ": " line)
	else if (line != "")
		notes[++nr_notes] = line
}

# --- the result channel ---

function suite_begin(name, kind)
{
	if (suite != "")
		problem_lost("suite " suite " has no end")
	suite = name
	suite_kind = kind
	if (!(name in planned) || planned[name] != kind)
		problem_lost("suite " name " (" kind ") was not asked for")
	suite_passed = suite_failed = suite_skipped = nr_notes = 0
	suite_excused = 0
	split("", level_known)
	level_open(0)
}

function ktap_end(clean, how,	tests)
{
	levels_close(-1, "the suite")
	tests = suite_passed + suite_failed + suite_skipped
	if (!tests)
		problem_failed(suite ": not one test ran")
	else if (!clean && !suite_failed && !suite_excused &&
		 !(how == "exit 4" && suite_skipped == tests))
		problem_failed(suite ": " how ", though no test failed")
}

function plain_end(clean, how)
{
	if (clean) {
		passed++
		suite_passed++
	} else if (!foreign) {
		problem_failed(suite ": " how)
		show_notes()
		suite_failed++
	}
}

function suite_end(name, how, number, seconds)
{
	if (name != suite)
		problem_lost("suite " name " ends, but " suite " was running")
	suite_status = how == "exit" ? number : 128 + number
	ended[suite] = 1
	how = how " " number
	if (suite_kind == "ktap" || suite_kind == "kunit")
		ktap_end(how == "exit 0", how)
	else
		plain_end(how == "exit 0", how)
	if (!quiet)
		say("suite", sprintf("%s: %d passed, %d failed, %d skipped, %d s", \
		    suite, suite_passed, suite_failed, suite_skipped, seconds))
	suite = ""
}

file ~ /result$/ && done {
	problem_lost("the result channel goes on after its end: " $0)
	next
}

file == "result" && !header {
	header = ($0 == "hmm-results 1")
	if (!header) {
		problem_lost("the result channel begins with: " $0)
		header = 1
	}
	next
}

file ~ /result$/ && /^[|+] / {
	text = substr($0, 3)
	if (suite == "")
		leak_line(text)
	else if (starts($0, "+ "))
		notes[++nr_notes] = text
	else if (suite_kind == "ktap" || suite_kind == "kunit")
		ktap_line(text)
	else
		notes[++nr_notes] = text
	next
}

file ~ /result$/ && $1 == "suite" && NF == 3 {
	suite_begin($2, $3)
	next
}

file ~ /result$/ && $1 == "suite-end" && NF == 6 {
	suite_end($2, $3, $4, $6)
	next
}

file == "result" && $1 == "lockdep" && NF == 2 {
	seen_lockdep = 1
	if ($2 != "1" && ("CONFIG_LOCKDEP=y" in config))
		problem_splat("lockdep does not watch any more: " $2)
	next
}

function leak_line(text)
{
	leaks[++nr_leaks] = text
}

file == "result" && $1 == "kmemleak" && NF == 2 {
	seen_kmemleak = 1
	if ($2 == "off" && ("CONFIG_DEBUG_KMEMLEAK=y" in config))
		problem_splat("kmemleak does not work in this guest")
	if ($2 == "skipped" && mode == "test")
		problem_splat("the leak scan was skipped")
	if ($2 + 0 > 0) {
		problem_splat($2 " objects leaked, says kmemleak")
		for (i = 1; i <= nr_leaks && i <= 40; i++)
			say("", "  " leaks[i])
	}
	next
}

file == "result" && $1 == "taint" && NF == 2 && $2 ~ /^[0-9]+$/ {
	seen_taint = 1
	taint = $2
	next
}

file == "result" && $1 == "rmmod" {
	problem_splat("a module cannot be unloaded: " substr($0, 7))
	next
}

file == "result" && $1 == "init-error" {
	problem_lost("PID 1 gave up: " substr($0, 12))
	next
}

file == "result" && $0 == "done" {
	done = 1
	next
}

file ~ /result$/ {
	problem_lost("garbled result channel: " $0)
	next
}

# --- the kernel's log ---

function window_open(text)
{
	window_text[++nr_windows] = text
	window_seen[nr_windows] = 0
	window_state[nr_windows] = "open"
}

function window_close(text,	i)
{
	for (i = nr_windows; i; i--)
		if (window_state[i] == "open" && window_text[i] == text)
			break
	if (!i) {
		problem_failed("log line " FNR ": hmm-expect-end without " \
			       "its hmm-expect: " text)
		return
	}
	window_state[i] = "closed"
	if (!window_seen[i])
		problem_failed("log line " FNR ": a message was provoked " \
			       "and did not come: " text)
}

# True if this WARN was provoked. A second one in the same window is not.
function warn_expected(	i)
{
	for (i = nr_windows; i; i--) {
		if (window_state[i] != "open" || window_seen[i])
			continue
		if (!index(block_header, window_text[i]))
			continue
		window_seen[i] = 1
		expected++
		return 1
	}
	return 0
}

# True if a test has announced this message and its window is open. It may come
# more than once: a test cannot know the number of messages.
function message_expected(line,	i)
{
	for (i = nr_windows; i; i--) {
		if (window_state[i] != "open" || !index(line, window_text[i]))
			continue
		window_seen[i] = 1
		return 1
	}
	return 0
}

function log_splat(line, meaning)
{
	problem_splat("log line " FNR ": " line " (" meaning ")")
	last_splat = FNR
}

# The message of a block is complete.
function block_judge()
{
	header_open = 0
	last_splat = FNR
	if (block_header !~ /WARNING: /)
		return
	if (!warn_expected()) {
		problem_splat("log line " block_line ": " block_what block_text)
		last_splat = FNR
	}
}

function block_begin()
{
	if (header_open)
		block_judge()
	in_block = header_open = 1
	block_header = ""
	block_what = "a WARN"
	block_text = ""
	block_line = FNR
}

function block_read(line)
{
	if (line ~ /---\[ end trace/) {
		if (header_open)
			block_judge()
		in_block = 0
	} else if (header_open && line ~ /Modules linked in:|PID: [0-9]+ Comm:/)
		block_judge()
	else if (header_open) {
		if (line ~ /WARNING: /)
			block_what = line
		else
			block_text = block_text ": " line
		block_header = block_header "\n" line
	}
}

function policy_match(line,	i)
{
	for (i = 1; i <= nr_policy; i++)
		if (line ~ policy_regex[i])
			return i
	return 0
}

function log_line(line,	i, class)
{
	i = policy_match(line)
	if (!i)
		return
	class = policy_class[i]
	if (class == "ok")
		return
	# The WARN in a block is judged with the block.
	if (class == "warn" && in_block)
		return
	# The trace belongs to the report above it.
	if (class == "trace" && (in_block ||
				 (last_splat && FNR - last_splat < 100)))
		return
	if (class == "fault" && message_expected(line)) {
		expected_faults++
		return
	}
	if (class == "oom" && message_expected(line)) {
		last_splat = FNR
		return
	}
	if (class == "lost")
		problem_lost("log line " FNR ": " line " (" \
			     policy_meaning[i] ")")
	else
		log_splat(line, policy_meaning[i])
}

file == "log" {
	sub(/^(\[ *[0-9]+\.[0-9]+\])?(\[ *[TC][0-9]+\])? /, "")
	if (/Linux version [0-9]/)
		seen_banner = 1
	if (/hmm-init: start/)
		seen_start = 1
	if (/hmm-init: end/)
		seen_end = 1
	if (i = index($0, "hmm-expect: "))
		window_open(substr($0, i + 12))
	else if (i = index($0, "hmm-expect-end: "))
		window_close(substr($0, i + 16))
	else if (/-\[ cut here \]-/)
		block_begin()
	else {
		if (in_block)
			block_read($0)
		log_line($0)
	}
	next
}

# --- the end ---

function taint_bit(n)
{
	return int(taint / 2 ^ n) % 2
}

# 18: tests have run. 9: a WARN. 12: a module from outside the tree.
function judge_taint(	n, bits)
{
	bits = ""
	for (n = 0; n < 32; n++) {
		if (!taint_bit(n) || n == 18)
			continue
		if ((n == 9 && expected) || (n == 12 && foreign))
			continue
		bits = bits " " n
	}
	if (bits != "")
		problem_splat("the kernel is tainted, bits" bits " of " taint)
}

function judge_suites(	i, name)
{
	if (suite != "")
		problem_lost("suite " suite " did not end")
	if (!nr_planned)
		problem_lost("no suite was asked for")
	for (i = 1; i <= nr_planned; i++) {
		name = plan_order[i]
		if (!(name in ended) && name != suite)
			problem_lost("suite " name " did not run")
	}
}

function judge_log(	i)
{
	if (header_open)
		block_judge()
	if (!seen_banner)
		problem_lost("the kernel's log has no banner")
	else if (!seen_start)
		problem_lost("the kernel did not get as far as PID 1")
	else if (!seen_end)
		problem_lost("the kernel's log breaks off")
	for (i = 1; i <= nr_windows; i++)
		if (window_state[i] == "open")
			problem_failed("a window for a provoked message " \
				       "stays open: " window_text[i])
}

function judge_result()
{
	if (!header)
		problem_lost("the result channel is empty")
	else if (!done)
		problem_lost("the result channel breaks off")
	else if (!seen_taint || !seen_kmemleak || !seen_lockdep)
		problem_lost("the result channel lacks the last checks")
	if (seen_taint)
		judge_taint()
}

function exit_status()
{
	if (!lost && mode == "guest" && suite_status)
		return suite_status
	if (splats)
		return 2
	if (lost)
		return 3
	return failures ? 1 : 0
}

END {
	judge_suites()
	judge_log()
	judge_result()
	if (qemu_end != "exit 0")
		problem_lost("QEMU: " \
			     (qemu_end == "" ? "did not run" : qemu_end))
	if (expected)
		say("warned", expected " WARNs were provoked and seen")
	if (expected_faults)
		say("faulted", expected_faults " times an IOMMU stopped a " \
		    "device, as was expected")
	if (!quiet || failed) {
		for (i = 1; i <= nr_report; i++)
			print report[i]
		if (failed)
			print "look in " dir
	}
	if (!quiet || (failed && !foreign))
		printf "%d passed, %d failed, %d skipped\n", passed, failed, \
		       skipped
	# Should these two ever disagree, it is not a success.
	status = exit_status()
	exit (!status && failed && !foreign) ? 3 : status
}
