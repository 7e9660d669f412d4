# SPDX-License-Identifier: GPL-2.0
# Reads file=rows and file=output, the output of hmm-bench wall. Prints ratios
# of times, and waits. No time passes or fails, and a time that could not be
# measured on a busy machine is named. Fails only if no time was measured.

BEGIN {
	FS = "\t"
	text["load"] = "a device's fault, more threads"
	printf "%-44s %9s %9s %9s\n", "time, ours : stock (A B A B)", \
		"median", "10%", "90%"
}

{ sub(/\r$/, "") }

file == "rows" { text[$1] = $4; next }

$1 == "wall" || $1 == "load" { measured = 1 }

$1 == "wall" { printf "%-44s %9s %9s %9s\n", text[$2], $3, $4, $5 }

$1 == "load" {
	if (!loads++)
		printf "%-44s %9s %9s %9s\n", "a device's fault, us", \
			"median", "99%", "worst"
	printf "%-44s %9s %9s %9s\n", \
		$3 ", " $2 " threads unmap elsewhere", $4, $5, $6
}

$1 == "hold" {
	printf "%-44s %9s %9s %9s\n", \
		$3 ", the mmap lock is held 10 ms at 50 Hz", $4, $5, $6
}

/^hmm-bench: [a-z0-9-]+ failed$/ {
	sub(/^hmm-bench: /, "")
	sub(/ failed$/, "")
	printf "%-44s not measured\n", text[$0]
}

END { exit !measured }
