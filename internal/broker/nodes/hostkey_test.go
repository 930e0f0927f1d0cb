// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// printer is a node whose commands print something and end with a code.
type printer struct {
	Node
	prints string
	code   int
	ran    string
}

func (p *printer) Run(_ context.Context, cmd remote.Command) (int, error) {
	p.ran = cmd.Script
	_, err := io.WriteString(cmd.Stdout, p.prints)
	fmt.Fprint(cmd.Stderr, "no entropy")
	return p.code, err
}

// TestRenewHostKeys: each node gets the key that it printed; one that printed none,
// or its old one, has made none.
func TestRenewHostKeys(t *testing.T) {
	key := func() string {
		_, public, err := remote.NewHostKey()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(public)
	}
	born, first, second := key(), key(), key()
	c := cluster.Cluster{Nodes: []cluster.Node{{Rank: 0, InstanceID: "a", HostKey: born}, {Rank: 1, InstanceID: "b", HostKey: born}}}
	for name, tt := range map[string]struct {
		head printer
		says string
	}{
		"made":          {printer{prints: first + " root@pod\n"}, ""},
		"failed":        {printer{prints: first, code: 3}, "make a host key on rank 0 (a): it ended with exit code 3: no entropy"},
		"nothing":       {printer{}, "it printed no public key"},
		"the old one":   {printer{prints: born}, "born with"},
		"something odd": {printer{prints: "ssh-ed25519 !!!"}, "it printed no public key"},
	} {
		other := &printer{prints: second}
		got, err := Reach{}.RenewHostKeys(t.Context(), c, []Node{&tt.head, other}, "renew")
		if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
			continue
		}
		if err == nil && (got[0].HostKey != first || got[1].HostKey != second || other.ran != "renew" || c.Nodes[0].HostKey != born) {
			t.Errorf("%s: the keys are %q and %q", name, got[0].HostKey, got[1].HostKey)
		}
	}
}
