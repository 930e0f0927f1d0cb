// SPDX-License-Identifier: MPL-2.0

// Package fluffycloud is a small real cloud on loopback: an HTTP API with keys,
// regions, capacity and prices, and machines that are real to an SSH client.
// It needs no account, no root and no network. It is the cloud for trying the
// provider, for tests, and a laboratory of faults.
//
// A test uses it so:
//
//	func TestMain(m *testing.M) {
//		if handled, code := fluffycloud.Main(os.Args); handled {
//			os.Exit(code) // this process is a machine, an SSH client or a server
//		}
//		os.Exit(m.Run())
//	}
//
//	srv, err := fluffycloud.Start(ctx, fluffycloud.Options{Dir: filepath.Join(t.TempDir(), "fluffycloud")})
//	// talk HTTP to srv.URL() with srv.APIKey()
//	t.Cleanup(func() { _ = srv.Destroy(context.Background()) }) // ends all machines, then closes
//
// Close alone leaves the machines running, as a crash of the server would; a
// later Start on the same folder finds them again.
package fluffycloud
