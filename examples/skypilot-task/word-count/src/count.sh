# SPDX-License-Identifier: MPL-2.0
#
# Counts the words of standard input, from LONGEST letters on, and keeps those
# whose turn it is on this node.
tr -cs 'A-Za-z' '\n' |
	awk -v least="$LONGEST" -v nodes="$SKYPILOT_NUM_NODES" -v rank="$SKYPILOT_NODE_RANK" '
		length($0) >= least { n[tolower($0)]++ }
		END { for (w in n) if (length(w) % nodes == rank) print n[w], w }' |
	sort -rn
