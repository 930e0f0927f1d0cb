# SPDX-License-Identifier: MPL-2.0
#
# Reads primes, one a line, takes those that fall to this node (rank of nodes),
# and counts them, their sum, and the twins among them: primes p for which
# p + 2 is a prime too, by trial division.

function prime(n, d) {
	if (n % 2 == 0)
		return n == 2
	for (d = 3; d * d <= n; d += 2)
		if (n % d == 0)
			return 0
	return n > 1
}

NR % nodes == rank {
	primes++
	sum += $1
	if (prime($1 + 2))
		twins++
}

END {
	printf "node %d of %d, %s accelerator(s): primes=%d sum=%.0f twins=%d\n",
		rank + 1, nodes, accelerators, primes, sum, twins
}
