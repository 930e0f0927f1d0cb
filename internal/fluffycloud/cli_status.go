// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// inventory is all that a cloud holds.
type inventory struct {
	URL       string     `json:"url"`
	Running   bool       `json:"running"`
	Instances []Instance `json:"instances"`
	Disks     []Disk     `json:"disks"`
	SSHKeys   []SSHKey   `json:"ssh_keys"`
	Firewalls []Firewall `json:"firewalls"`
	TotalUSD  float64    `json:"total_usd"`
}

// left names what still exists; terminated machines do not count.
func (v inventory) left() []string {
	var out []string
	for _, i := range v.Instances {
		if !i.State.gone() {
			out = append(out, fmt.Sprintf("instance %s (%s, %s)", i.ID, i.Name, i.State))
		}
	}
	for _, d := range v.Disks {
		out = append(out, fmt.Sprintf("disk %s of %s", d.ID, d.InstanceID))
	}
	for _, k := range v.SSHKeys {
		out = append(out, fmt.Sprintf("SSH key %s (%s)", k.ID, k.Name))
	}
	for _, f := range v.Firewalls {
		out = append(out, fmt.Sprintf("firewall %s (%s)", f.ID, f.Name))
	}
	return out
}

// take reads the inventory straight from a store.
func takeInventory(st *store, now time.Time) (v inventory, err error) {
	err = st.view(func(t *tx) error {
		instances, err := all[instance](t, bucketInstances, nil)
		if err != nil {
			return err
		}
		v.Instances = make([]Instance, 0, len(instances)) // a list in JSON, also without any
		for _, i := range instances {
			v.Instances = append(v.Instances, i.Instance)
		}
		if v.Disks, err = all[Disk](t, bucketDisks, nil); err != nil {
			return err
		}
		if v.SSHKeys, err = all[SSHKey](t, bucketKeys, nil); err != nil {
			return err
		}
		if v.Firewalls, err = all[Firewall](t, bucketFirewalls, nil); err != nil {
			return err
		}
		_, v.TotalUSD, err = bill(t, now)
		return err
	})
	return v, err
}

// readInventory asks the folder's server, or reads its store where none runs.
func readInventory(ctx context.Context, dir string) (inventory, error) {
	c, err := connect(ctx, dir)
	if errors.Is(err, errNoServer) {
		if _, err := os.Stat(filepath.Join(dir, "fluffycloud.db")); errors.Is(err, fs.ErrNotExist) {
			return inventory{Instances: []Instance{}, Disks: []Disk{}, SSHKeys: []SSHKey{}, Firewalls: []Firewall{}}, nil
		}
		st, err := openStore(dir, true)
		if err != nil {
			return inventory{}, err
		}
		v, err := takeInventory(st, time.Now())
		return v, errors.Join(err, st.close())
	}
	if err != nil {
		return inventory{}, err
	}
	v := inventory{URL: c.url, Running: true}
	return v, c.inventory(ctx, &v)
}

// inventory reads every list, hidden machines included.
func (c *client) inventory(ctx context.Context, v *inventory) error {
	return c.call(ctx, http.MethodGet, "/v1/inventory", nil, v)
}

// getInventory is for the command line: all there is, free of faults.
func (s *Server) getInventory(context.Context, *call) (reply, error) {
	v, err := takeInventory(s.store, s.clock.Now())
	v.URL, v.Running = s.self.URL, true
	return reply{http.StatusOK, v}, err
}

func (c *cli) statusCommand() *cobra.Command {
	var asJSON, expectEmpty bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show what the cloud holds and what it cost", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.dir()
			if err != nil {
				return err
			}
			v, err := readInventory(cmd.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(v); err != nil {
					return fmt.Errorf("write status: %w", err)
				}
			} else if err := v.print(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("write status: %w", err)
			}
			if left := v.left(); expectEmpty && len(left) > 0 {
				return fmt.Errorf("the cloud is not empty: %s", strings.Join(left, "; "))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&expectEmpty, "expect-empty", false, "fail if a machine, disk, key or firewall exists")
	return cmd
}

// printRest prints the tables of what there is beside machines.
func (v inventory) printRest(w io.Writer) {
	if len(v.Disks) > 0 {
		fmt.Fprintln(w, "\nDISK\tINSTANCE\tZONE\tGiB")
	}
	for _, d := range v.Disks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", d.ID, d.InstanceID, d.Zone, d.SizeGiB)
	}
	if len(v.SSHKeys) > 0 {
		fmt.Fprintln(w, "\nSSH KEY\tNAME")
	}
	for _, k := range v.SSHKeys {
		fmt.Fprintf(w, "%s\t%s\n", k.ID, k.Name)
	}
	if len(v.Firewalls) > 0 {
		fmt.Fprintln(w, "\nFIREWALL\tNAME\tREGION\tRULES")
	}
	for _, f := range v.Firewalls {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", f.ID, f.Name, f.Region, len(f.Rules))
	}
}

func (v inventory) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 2, 4, 2, ' ', 0)
	switch {
	case v.Running:
		fmt.Fprintf(w, "FluffyCloud serves %s.\n", v.URL)
	default:
		fmt.Fprintln(w, "No FluffyCloud server is running; this is what its store holds.")
	}
	if len(v.Instances) > 0 {
		fmt.Fprintln(w, "\nINSTANCE\tNAME\tTYPE\tZONE\tMARKET\tSTATE\tREASON\tADDRESS\t$/h")
	}
	for _, i := range v.Instances {
		address := ""
		if i.PublicIP != "" {
			address = fmt.Sprintf("%s:%d", i.PublicIP, i.SSHPort)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.4f\n", i.ID, i.Name, i.InstanceType, i.Zone, i.Market, i.State, i.StateReason, address, i.HourlyUSD)
	}
	v.printRest(w)
	live := 0
	for _, i := range v.Instances {
		if !i.State.gone() {
			live++
		}
	}
	fmt.Fprintf(w, "\nMachines: %d. Disks: %d. SSH keys: %d. Firewalls: %d. Spent so far: $%.6f.\n", live, len(v.Disks), len(v.SSHKeys), len(v.Firewalls), v.TotalUSD)
	return w.Flush()
}
