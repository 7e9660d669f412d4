# SPDX-License-Identifier: GPL-2.0
# Reads file=rows, file=waivers and file=counts, the output of hmm-bench. Prints
# the table and writes it to the file named by the variable tsv. Fails if a row
# is above its bound without a waiver, was not counted, or is not in file=rows.

BEGIN { FS = "\t" }

{ sub(/\r$/, "") }

file == "rows" {
	order[++nr_rows] = $1
	bound[$1] = $2
	max_calls[$1] = $3
	text[$1] = $4
	next
}

file == "waivers" {
	if ($0 !~ /^(#|$)/)
		waiver[$1] = $2
	next
}

$1 == "cycles" { calibrated = 1 }

$1 == "count" && !($2 in text) {
	printf "hmm: bench/rows has no row %s\n", $2 > "/dev/stderr"
	failed = 1
}

$1 == "count" {
	value[$2, $3] = $5
	calls[$2, $3] = $6
}

function number(text)
{
	return text ~ /^[0-9]+([.][0-9]+)?$/
}

function counted(row, side)
{
	return (row, side) in value
}

# The bound of a row as a number; -1 if there is none, -2 if a count in it is
# missing.
function bound_of(row,	part, b)
{
	b = bound[row]
	if (b == "-")
		return -1
	if (number(b))
		return b + 0
	if (b == "stock")
		return counted(row, b) ? value[row, b] + 0 : -2
	if (split(b, part, "/") == 2)
		return counted(row, part[1]) ? \
			value[row, part[1]] / part[2] : -2
	if (split(b, part, "*") == 2)
		return counted(part[2], "ours") ? \
			part[1] * value[part[2], "ours"] : -2
	split(b, part, "+")
	if (part[1] == "limit")
		return counted(row, "limit") ? \
			value[row, "limit"] + part[2] : -2
	return counted(part[1], "ours") ? \
		value[part[1], "ours"] + part[2] : -2
}

function verdict(row, b)
{
	if (!counted(row, "ours"))
		return "NOT COUNTED"
	if (b == -2)
		return "no bound: a count in it is missing"
	if (max_calls[row] != "-" && calls[row, "ours"] > max_calls[row] + 0)
		return "MISSED (" calls[row, "ours"] " calls)"
	if (b == -1)
		return ""
	return value[row, "ours"] + 0 <= b ? "ok" : "MISSED"
}

function shown(row, side)
{
	if (!counted(row, side))
		return "-"
	return sprintf(value[row, side] < 1000 ? "%.1f" : "%.0f", \
		       value[row, side])
}

function ratio(row)
{
	if (!counted(row, "ours") || !counted(row, "stock") || \
	    value[row, "ours"] <= 0)
		return "-"
	return sprintf("%.2f", value[row, "stock"] / value[row, "ours"])
}

function print_row(row,	b, said)
{
	b = bound_of(row)
	said = verdict(row, b)
	printf "%-44s %9s %9s %9s %9s %6s  %s\n", text[row], \
		shown(row, "ours"), b < 0 ? "-" : \
		sprintf(b < 1000 ? "%.1f" : "%.0f", b), \
		shown(row, "stock"), shown(row, "limit"), ratio(row), said
	print row, shown(row, "ours"), b < 0 ? "-" : b, \
		shown(row, "stock"), shown(row, "limit"), shown(row, "pin"), \
		shown(row, "unpin"), ratio(row), calls[row, "ours"], \
		calls[row, "stock"], said > tsv
	if (said == "MISSED" && row in waiver) {
		nr_waived++
		waived[nr_waived] = text[row] ": " waiver[row]
	} else if (said != "" && said != "ok") {
		failed = 1
		nr_missed++
	} else if (row in waiver) {
		printf "hmm: %s has a waiver, but is within its bound\n", row \
			> "/dev/stderr"
		failed = 1
	}
}

END {
	OFS = FS
	print "row", "ours", "bound", "stock", "limit", "pin", "unpin", \
		"ratio", "calls", "stock calls", "verdict" > tsv
	printf "%-44s %9s %9s %9s %9s %6s\n", "instructions a page, or a call", \
		"ours", "bound", "stock", "limit", "ratio"
	for (i = 1; i <= nr_rows; i++)
		print_row(order[i])
	if (!calibrated) {
		print "hmm: cycles were not compared with instructions" \
			> "/dev/stderr"
		failed = 1
	}
	for (i = 1; i <= nr_waived; i++)
		print "waived  " waived[i]
	printf "%d passed, %d failed, %d skipped\n", \
		nr_rows - nr_missed - nr_waived, nr_missed, nr_waived
	exit failed ? 1 : 0
}
