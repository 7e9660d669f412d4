# SPDX-License-Identifier: GPL-2.0
# Reads file=rows and file=output, the output of hmm-bench wall. Prints ratios
# of times, waits, and how the speed grows with a second CPU. No time passes or
# fails, and a time that could not be measured on a busy machine is named. Fails
# only if no time was measured.

BEGIN {
	FS = "\t"
	text["load"] = "a device's fault, more threads"
	text["scale"] = "disjoint ranges on two CPUs"
	load_text["load"] = "threads that discard memory: "
	load_text["hold"] = "threads hold the mmap lock 10 ms, 50 Hz: "
	load_text["map"] = "threads that map and unmap: "
	side_text["ours"] = "unlocked"
	side_text["locked"] = "locked"
	side_text["stock"] = "interval API"
	printf "%-44s %9s %9s %9s\n", "time, ours : stock (A B A B)", \
		"median", "10%", "90%"
}

{ sub(/\r$/, "") }

file == "rows" { text[$1] = $4; next }

$1 == "wall" || $1 in load_text || $1 == "scale" { measured = 1 }

$1 == "wall" { printf "%-44s %9s %9s %9s\n", text[$2], $3, $4, $5 }

$1 in load_text {
	name = $1 FS $2
	if (!(name in seen))
		loads[++nr_loads] = name
	seen[name] = 1
	median[name, $3] = $4
	late[name, $3] = $5
	worst[name, $3] = $6
}

$1 == "scale" { pages[$3, $2] = $4 }

/^hmm-bench: [a-z0-9-]+ failed$/ {
	sub(/^hmm-bench: /, "")
	sub(/ failed$/, "")
	failed[++nr_failed] = text[$0]
}

function load_name(name,	part)
{
	split(name, part, FS)
	if (part[2] == 0)
		return "idle"
	return load_text[part[1]] part[2]
}

# One table of all loads: the values of the three sides.
function print_loads(title, value,	i, name)
{
	printf "%-44s %9s %9s %9s\n", title, "unlocked", "locked", "interval"
	for (i = 1; i <= nr_loads; i++) {
		name = loads[i]
		printf "%-44s %9s %9s %9s\n", load_name(name), \
			value[name, "ours"], value[name, "locked"], \
			value[name, "stock"]
	}
}

function print_scale(side)
{
	if ((side, 1) in pages && (side, 2) in pages)
		printf "%-44s %9d %9d %9.2f\n", side_text[side], \
			pages[side, 1], pages[side, 2], \
			pages[side, 2] / pages[side, 1]
}

END {
	if (nr_loads) {
		print_loads("a device's fault, us, median", median)
		print_loads("a device's fault, us, 99%", late)
		print_loads("a device's fault, us, worst", worst)
	}
	if (("ours", 2) in pages) {
		printf "%-44s %9s %9s %9s\n", \
			"faults of disjoint ranges, pages a second", \
			"1 CPU", "2 CPUs", "ratio"
		print_scale("ours")
		print_scale("locked")
	}
	for (i = 1; i <= nr_failed; i++)
		printf "%-44s not measured\n", failed[i]
	exit !measured
}
