// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package localfile

const nonblock = 0
