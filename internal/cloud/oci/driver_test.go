// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/oci/ocifake"
)

// open is a session of an account, with settings changed.
func (a account) open(t *testing.T, change map[string]string) (cloud.Session, error) {
	t.Helper()
	creds := a.Credentials()
	maps.Copy(creds.Values, change)
	return a.Factory().Open(t.Context(), creds)
}

func start(t *testing.T, opts ocifake.Options) account {
	t.Helper()
	return account{ocifake.Start(t, opts)}
}

// request is a cluster of so many machines, and where.
func request(nodes int, market cloud.Market) (cloud.ClusterSpec, cloud.Placement) {
	ref := cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: Name, Region: testRegion}
	spec := cloud.ClusterSpec{Ref: ref}
	for rank := range nodes {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{Identity: cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Rank: rank}})
	}
	at := account{}.Placement(nodes, market)
	at.Offer.Zone = ""
	return account{}.Spec(spec), at
}

// refused is the text of a ConfigError or AuthError.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var config *fleet.ConfigError
	var auth *fleet.AuthError
	if (!errors.As(err, &config) && !errors.As(err, &auth)) || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want one of the user's that says %q", err, want)
	}
}

// TestCredentials: all that people have opens the cloud, and what is wrong is said
// with what would be right, and without the key.
func TestCredentials(t *testing.T) {
	a, dir := start(t, ocifake.Options{}), t.TempDir()
	file := a.WriteConfig(t, dir)
	bare := map[string]string{optionConfigFile: file, optionEndpoint: a.Endpoint()}
	with := func(more map[string]string) map[string]string {
		out := maps.Clone(bare)
		maps.Copy(out, more)
		return out
	}
	for name, values := range map[string]map[string]string{
		"default profile":      bare,
		"session":              with(map[string]string{optionProfile: "SESSION"}),
		"key as a file":        {optionTenancy: ocifake.Tenancy, optionUser: ocifake.User, optionFinger: ocifake.Fingerprint(), optionKey: filepath.Join(dir, "key.pem"), optionRegion: ocifake.Home, optionEndpoint: a.Endpoint(), optionConfigFile: file},
		"user beats a session": with(map[string]string{optionProfile: "SESSION", optionUser: ocifake.User}),
	} {
		s, err := a.Factory().Open(t.Context(), cloud.Credentials{Values: values})
		if err != nil || s.Account != ocifake.Tenancy {
			t.Errorf("%s: account %q, %v", name, s.Account, err)
		}
	}
	for want, values := range map[string]map[string]string{
		`no profile "NONE"`:           with(map[string]string{optionProfile: "NONE"}),
		"oci setup config":            with(map[string]string{optionConfigFile: filepath.Join(dir, "none")}),
		"check that the user has":     with(map[string]string{optionFinger: "00:00"}),
		"private key cannot be read":  with(map[string]string{optionKey: "-----BEGIN RSA PRIVATE KEY-----\nsecret-of-a-key\n"}),
		"neither PEM text":            with(map[string]string{optionKey: "secret-of-a-key" + strings.Repeat("MIIEvQIBADANBg", 40)}),
		"endpoint_url must be a URL":  with(map[string]string{optionEndpoint: "nonsense"}),
		"would send machines' user":   with(map[string]string{optionEndpoint: "http://example.com/{region}"}),
		"not the OCID of a subnet":    with(map[string]string{optionSubnets: "subnet-1"}),
		"oci session authenticate":    with(map[string]string{optionProfile: "SESSION", optionTokenFile: filepath.Join(dir, "gone")}),
		"use_internal_ips is \"ja\"":  with(map[string]string{optionInternal: "ja"}),
		"compartment_tree is \"oui\"": with(map[string]string{optionTree: "oui"}),
	} {
		_, err := a.Factory().Open(t.Context(), cloud.Credentials{Values: values})
		refused(t, err, want)
		if err != nil && strings.Contains(err.Error(), "secret-of-a-key") {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
	if why := (Factory{}).MissingCredentials(cloud.Credentials{Values: bare}); why != "" {
		t.Errorf("with a file they are said to be missing: %s", why)
	}
	if why := (Factory{}).MissingCredentials(cloud.Credentials{Values: map[string]string{optionConfigFile: filepath.Join(dir, "none")}}); why == "" {
		t.Error("without a file they are not said to be missing")
	}
}

// TestExpiredSession: a session that ended says how to renew it; one that was
// renewed in its file counts at once.
func TestExpiredSession(t *testing.T) {
	a, dir := start(t, ocifake.Options{}), t.TempDir()
	values := map[string]string{optionConfigFile: a.WriteConfig(t, dir), optionProfile: "SESSION", optionEndpoint: a.Endpoint()}
	s, err := a.Factory().Open(t.Context(), cloud.Credentials{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token-of-yesterday")
	ref := cloud.ClusterRef{Owner: "o"}
	if _, err := s.Query(t.Context(), ref); s.Classify(err).Kind != cloud.KindAuth || strings.Contains(err.Error(), "token-of-yesterday") {
		t.Errorf("with a token that ended: %v", err)
	}
	_, err = a.Factory().Open(t.Context(), cloud.Credentials{Values: values})
	refused(t, err, "oci session refresh --profile SESSION")
	write(string(good))
	if _, err := s.Query(t.Context(), ref); err != nil {
		t.Errorf("after it was renewed: %v", err)
	}
}

// TestShapes: what catalogs call a type is a shape and its size, and back.
func TestShapes(t *testing.T) {
	for name, want := range map[string]shape{
		"VM.Standard.E4.Flex$_4_32": {"VM.Standard.E4.Flex", 4, 32}, "VM.Standard.A1.Flex$_1_6": {"VM.Standard.A1.Flex", 1, 6},
		"VM.GPU.A10.1": {name: "VM.GPU.A10.1"}, "BM.GPU.H100.8": {name: "BM.GPU.H100.8"},
	} {
		got, err := shapeOf(name)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", name, got, err, want)
		}
		if back := typeOf(got.name, got.ocpus, got.memoryGiB); back != name {
			t.Errorf("%s came back as %s", name, back)
		}
	}
	for _, name := range []string{"VM.Standard.E4.Flex", "VM.Standard.E4.Flex$_4", "VM.Standard.E4.Flex$_a_b", "$_1_2", "VM.Standard.E4.Flex$_0_2"} {
		if got, err := shapeOf(name); err == nil {
			t.Errorf("%s is taken for %+v", name, got)
		}
	}
}

// TestTags: any labels fit into ten tags or are refused, and come back whole.
func TestTags(t *testing.T) {
	id := cloud.Identity{Owner: strings.Repeat("ö", 60), Cluster: "c", Generation: "g"}
	for name, labels := range map[string]map[string]string{
		"none": nil, "plain": {"Team": "weather", "Cost": ""}, "odd": {"team.io/x y": "ä=&%", "SKY-1": "mine", "long": strings.Repeat("v", 300)},
		"many": many(25, 20),
	} {
		want := ownTags(cloud.ClusterSpec{Labels: labels}, id)
		held, err := encodeTags(want)
		if err != nil || len(held) > maxTags {
			t.Errorf("%s: %d tags, %v", name, len(held), err)
		}
		for key, value := range held {
			if len(key) > maxTagKey || len([]rune(value)) > maxTagValue {
				t.Errorf("%s: tag %q=%q is too long", name, key, value)
			}
		}
		if got := decodeTags(held); !maps.Equal(got, want) {
			t.Errorf("%s came back as %v", name, got)
		}
	}
	_, err := encodeTags(ownTags(cloud.ClusterSpec{Labels: many(60, 60)}, id))
	refused(t, err, "fewer or shorter labels")
}

func many(n, size int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("label%02d", i)] = strings.Repeat("x", size)
	}
	return out
}

// TestOneNetwork: sessions that launch at once make one network, whose parts are
// one each; a later launch uses it, and one that was removed by hand is made anew.
func TestOneNetwork(t *testing.T) {
	a := start(t, ocifake.Options{VisibleAfter: 5 * time.Millisecond, MakeTime: 5 * time.Millisecond})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			s, err := a.open(t, nil)
			if err != nil {
				t.Error(err)
				return
			}
			spec, at := request(1, cloud.OnDemand)
			spec.Ref.Cluster = fmt.Sprint("c", n)
			spec.Nodes[0].Identity.Cluster = spec.Ref.Cluster
			if _, err := s.Bootstrap(t.Context(), spec, at); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, kind := range []string{"vcns", "subnets", "internetGateways", "securityLists"} {
		if n := len(a.Parts(kind)); n != 1 {
			t.Errorf("%d %s were made", n, kind)
		}
	}
	if list := a.Parts("securityLists")[0]; len(list.Ingress) != 1 || list.Ingress[0]["protocol"] != "1" {
		t.Errorf("the network lets in %v", list.Ingress)
	}
}

// TestDomains: all domains of a region are tried in turn, those that the report
// calls full are not, and where all are nothing is made.
func TestDomains(t *testing.T) {
	a := start(t, ocifake.Options{})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	domains := ocifake.Domains(testRegion)
	a.Fill("VM.Standard.E4.Flex", domains[0], false)
	spec, at := request(2, cloud.Spot)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	for _, m := range a.Machines() {
		if m.Domain != domains[1] || m.Preemptible == nil || m.Preemptible.Action.Preserve {
			t.Errorf("machine %+v, want it preemptible in %s", m, domains[1])
		}
	}
	if n := a.Calls(callLaunch); n != 2 {
		t.Errorf("%d launches, want 2: the full domain was not to be tried", n)
	}
	a.Fill("VM.Standard.E4.Flex", "*", false)
	if _, err := s.Bootstrap(t.Context(), spec, at); err != nil {
		t.Errorf("machines that are there need no room: %v", err)
	}
	if err := s.Terminate(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	_, err = s.Bootstrap(t.Context(), spec, at)
	if want := (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}); s.Classify(err) != want || !strings.Contains(fmt.Sprint(err), "OUT_OF_HOST_CAPACITY") {
		t.Errorf("without room anywhere: %v", err)
	}
}

// TestNoReports: who gets no answer about capacity launches all the same.
func TestNoReports(t *testing.T) {
	for name, refusal := range map[string]*fakekit.Refusal{
		"may not ask": nil, "unknown shape": fakekit.Refusef(http.StatusBadRequest, "InvalidParameter", "m"), "trouble": fakekit.Refusef(http.StatusInternalServerError, "InternalError", "m"),
	} {
		a := start(t, ocifake.Options{NoReports: refusal == nil})
		if refusal != nil {
			a.Inject(fakekit.Fault{Call: "POST /computeCapacityReports", Refuse: refusal})
		}
		s, err := a.open(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, at := request(1, cloud.OnDemand)
		if _, err := s.Bootstrap(t.Context(), spec, at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTakenBack: where a domain has room for one of two machines, that one is taken
// back, and both are made in the next domain.
func TestTakenBack(t *testing.T) {
	a := start(t, ocifake.Options{})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	domains := ocifake.Domains(testRegion)
	a.Inject(fakekit.Fault{Call: callLaunch, Match: domains[0], Skip: 1, Refuse: ocifake.NoRoom()})
	spec, at := request(2, cloud.OnDemand)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), spec.Ref, cfg); err != nil {
		t.Error(err)
	}
	all := a.Machines()
	if len(all) != 2 || slices.ContainsFunc(all, func(m ocifake.Machine) bool { return m.Domain != domains[1] }) {
		t.Errorf("there are %+v, want two in %s", all, domains[1])
	}
}

// TestUnknownThenRefused: a launch whose answer is lost and that is refused when it is
// asked again may have made a machine; that one is not left behind.
func TestUnknownThenRefused(t *testing.T) {
	a := start(t, ocifake.Options{VisibleAfter: 40 * time.Millisecond})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(1, cloud.OnDemand)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	a.Inject(fakekit.Fault{Call: callLaunch, Times: 1, Lose: true})
	a.Inject(fakekit.Fault{Call: callLaunch, Refuse: fakekit.Refusef(http.StatusUnauthorized, "NotAuthenticated", "the token ran out")})
	if _, err = s.Run(t.Context(), spec.Ref, cfg); err != nil && s.Classify(err).Kind != cloud.KindTransient {
		t.Errorf("%+v of %v, want it taken for unknown", s.Classify(err), err)
	}
	if err := s.Terminate(t.Context(), spec.Ref); err != nil || len(a.Machines()) != 0 {
		t.Errorf("%d machines are left: %v", len(a.Machines()), err)
	}
}

// TestMayNotChange: who may see a machine and not change it is told so, and at once;
// Oracle answers as if there were no machine.
func TestMayNotChange(t *testing.T) {
	a := start(t, ocifake.Options{})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(1, cloud.OnDemand)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), spec.Ref, cloud.StateRunning); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		call string
		do   func() error
	}{
		{"POST /instances/{id}", func() error { return s.Stop(t.Context(), spec.Ref) }},
		{"DELETE /instances/{id}", func() error { return s.Terminate(t.Context(), spec.Ref) }},
		{"DELETE /networkSecurityGroups/{id}", func() error { return s.CleanupPorts(t.Context(), spec.Ref) }},
	} {
		allow := a.Inject(fakekit.Fault{Call: step.call, Refuse: ocifake.NotAllowed()})
		if err := step.do(); s.Classify(err).Kind != cloud.KindAuth || !strings.Contains(fmt.Sprint(err), "may see") {
			t.Errorf("%s: %v", step.call, err)
		}
		allow()
	}
	if err := errors.Join(s.Terminate(t.Context(), spec.Ref), s.CleanupPorts(t.Context(), spec.Ref)); err != nil {
		t.Error(err)
	}
}

// TestUnseenIsNotGone: where a compartment cannot be looked into, or there is no
// region to look in, nothing is said to be gone.
func TestUnseenIsNotGone(t *testing.T) {
	a := start(t, ocifake.Options{Hidden: ocifake.Below})
	s, err := a.open(t, map[string]string{optionTree: "true"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Query(t.Context(), cloud.ClusterRef{Owner: "o"}); err == nil || errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("with a compartment that is hidden: %+v, %v", got, err)
	}
	a.Inject(fakekit.Fault{Call: "GET /tenancies/{tenancy}/regionSubscriptions", Answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }})
	if _, err := a.open(t, nil); err == nil || !strings.Contains(err.Error(), "names none") {
		t.Errorf("without a region: %v", err)
	}
}

// TestSourcesOfTheirs: the plan tells that the lists of own subnets add to the rules.
func TestSourcesOfTheirs(t *testing.T) {
	with := func(values map[string]string) string {
		return cloud.CapabilitiesOf(Factory{}, cloud.Credentials{Values: values}).SourcesOpen
	}
	if with(nil) != "" || !strings.Contains(with(map[string]string{optionSubnets: "ocid1.subnet.oc1.iad.a"}), "security lists") {
		t.Error("it does not depend on subnet_ids")
	}
}

// TestLateCapacity: a lack of room that only the work request tells ends the wait
// with Oracle's words, whether the machine goes or stays as it is; then it is gone.
func TestLateCapacity(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		a := start(t, ocifake.Options{})
		s, err := a.open(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, at := request(1, cloud.OnDemand)
		cfg, err := s.Bootstrap(t.Context(), spec, at)
		if err != nil {
			t.Fatal(err)
		}
		a.Inject(fakekit.Fault{Call: callLaunch, After: a.LateCapacity(stuck)})
		_, err = s.Run(t.Context(), spec.Ref, cfg)
		if err == nil {
			err = s.Wait(t.Context(), spec.Ref, cloud.StateRunning)
		}
		if want := (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}); s.Classify(err) != want || !strings.Contains(fmt.Sprint(err), "Out of host capacity") {
			t.Errorf("stuck %t: %+v of %v", stuck, s.Classify(err), err)
		}
		if err := s.Terminate(t.Context(), spec.Ref); err != nil || len(a.Machines())+a.Volumes() != 0 {
			t.Errorf("stuck %t: left are %d machines: %v", stuck, len(a.Machines()), err)
		}
	}
}

// TestVolumesGo: volumes of data that came with a launch go with the machine, which
// Oracle does not do by itself.
func TestVolumesGo(t *testing.T) {
	a := start(t, ocifake.Options{})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(1, cloud.OnDemand)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Run(t.Context(), spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.Edit(made.Created[0], func(m *ocifake.Machine) { m.Data = true })
	if err := s.Terminate(t.Context(), spec.Ref); err != nil || a.Volumes() != 0 {
		t.Errorf("%d volumes are left: %v", a.Volumes(), err)
	}
}

// TestSubnetOfTheirs: a subnet that was set is used in its region, as it allows, and
// no network is made there; in other regions it is.
func TestSubnetOfTheirs(t *testing.T) {
	a := start(t, ocifake.Options{})
	domain := ocifake.Domains(testRegion)[2]
	public, private := a.AddSubnet(testRegion, domain, false), a.AddSubnet(testRegion, "", true)
	spec, at := request(1, cloud.OnDemand)
	launch := func(settings map[string]string) (ocifake.Machine, cloud.ClusterInfo, error) {
		s, err := a.open(t, settings)
		if err != nil {
			return ocifake.Machine{}, cloud.ClusterInfo{}, err
		}
		spec.Nodes[0].Identity.Attempt++
		cfg, err := s.Bootstrap(t.Context(), spec, at)
		if err != nil {
			return ocifake.Machine{}, cloud.ClusterInfo{}, err
		}
		_, err = s.Run(t.Context(), spec.Ref, cfg)
		err = errors.Join(err, s.Wait(t.Context(), spec.Ref, cloud.StateRunning))
		info, described := s.Describe(t.Context(), spec.Ref)
		all := a.Machines()
		err = errors.Join(err, described, s.Terminate(t.Context(), spec.Ref), s.CleanupPorts(t.Context(), spec.Ref))
		if len(all) != 1 {
			return ocifake.Machine{}, info, fmt.Errorf("%d machines: %w", len(all), err)
		}
		return all[0], info, err
	}
	if m, _, err := launch(map[string]string{optionSubnets: public}); err != nil || m.Order.Interface.Subnet != public || m.Domain != domain {
		t.Errorf("%v: %+v", err, m)
	}
	_, _, err := launch(map[string]string{optionSubnets: private})
	refused(t, err, "use_internal_ips")
	m, info, err := launch(map[string]string{optionSubnets: private, optionInternal: "true"})
	if err != nil || m.PublicIP != "" || len(info.Instances) != 1 || info.Instances[0].ExternalIP != m.PrivateIP {
		t.Errorf("%v: %+v at %+v", err, m, info)
	}
	_, _, err = launch(map[string]string{optionInternal: "true"})
	refused(t, err, "set subnet_ids")
	_, _, err = launch(map[string]string{optionSubnets: "ocid1.subnet.oc1.phx.none"})
	refused(t, err, "there is no subnet")
	if n := len(a.Parts("vcns")); n != 2 {
		t.Errorf("there are %d networks, want their two", n)
	}
	at.Offer.Region = ocifake.Home
	spec.Ref.Region = ocifake.Home
	if m, _, err := launch(map[string]string{optionSubnets: public}); err != nil || m.Region != ocifake.Home {
		t.Errorf("elsewhere: %v: %+v", err, m)
	}
}

// TestCensus: with compartment_tree machines are found that were moved below, and
// not those beside; regions that the tenancy lacks are not asked.
func TestCensus(t *testing.T) {
	a := start(t, ocifake.Options{})
	spec, at := request(2, cloud.OnDemand)
	s, err := a.open(t, map[string]string{optionTree: "true"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Run(t.Context(), spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, compartment := range []string{ocifake.Below, ocifake.Other} {
		a.Edit(made.Created[i], func(m *ocifake.Machine) { m.Compartment = compartment })
	}
	// Another process remembers nothing of what was launched.
	if s, err = a.open(t, map[string]string{optionTree: "true"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Query(t.Context(), cloud.ClusterRef{Owner: "o"})
	if err != nil || len(got) != 1 || got[0].ID != made.Created[0] {
		t.Errorf("found are %+v, %v; want %s", got, err, made.Created[0])
	}
	byID := spec.Ref
	byID.Instances = made.Created
	if got, err := s.Query(t.Context(), byID); err != nil || len(got) != 2 {
		t.Errorf("by their ids are found %+v, %v", got, err)
	}
	_, err = s.Query(t.Context(), cloud.ClusterRef{Owner: "o", Region: "ap-tokyo-1"})
	refused(t, err, "not subscribed to region ap-tokyo-1")
	at.Offer.Region = "ap-tokyo-1"
	_, err = s.Bootstrap(t.Context(), spec, at)
	refused(t, err, "not subscribed to region ap-tokyo-1")
	if err := s.Terminate(t.Context(), byID); err != nil || len(a.Machines()) != 0 {
		t.Errorf("%d machines are left: %v", len(a.Machines()), err)
	}
}

// TestImages: the newest image that fits the shape is taken, with the driver where
// there are devices.
func TestImages(t *testing.T) {
	a := start(t, ocifake.Options{})
	creds, err := findCredentials(a.Credentials().Values)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(creds, a.Credentials().Values)
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(c, settings{})
	for _, row := range []struct{ asked, shape, want string }{
		{"", "VM.Standard.E4.Flex", "ubuntu2204"}, {"", "VM.Standard.A1.Flex", "ubuntu2204arm"}, {"", "VM.GPU.A10.1", "linux8gpu"},
		{"Canonical Ubuntu 24.04", "VM.Standard.E4.Flex", "ubuntu2404"}, {"Oracle Linux 8", "VM.GPU.A10.1", "linux8"}, {"Oracle Linux 8 GPU", "VM.GPU.A10.1", "linux8gpu"},
		{"Canonical-Ubuntu-22.04-Minimal-2026.07.20-0", "VM.Standard.E4.Flex", "ubuntu2204min"}, {ocifake.ImageID("ubuntu2204old", testRegion), "VM.Standard.E4.Flex", "ubuntu2204old"},
	} {
		im, err := d.image(t.Context(), row.asked, cloud.Offer{Region: testRegion}, shape{name: row.shape})
		if err != nil || value(im.Id) != ocifake.ImageID(row.want, testRegion) {
			t.Errorf("%q for %s is %s, %v; want %s", row.asked, row.shape, value(im.Id), err, row.want)
		}
	}
	_, err = d.image(t.Context(), "Windows 95", cloud.Offer{Region: testRegion}, shape{name: "VM.GPU.A10.1"})
	refused(t, err, "operating system with its version")
}

// TestUnderFire runs a cluster through its life while calls of every kind fail in
// passing.
func TestUnderFire(t *testing.T) {
	for name, f := range map[string]fakekit.Fault{
		"every call once more":     {Call: "*", Skip: 2, Times: 3, Refuse: fakekit.Refusef(http.StatusServiceUnavailable, "ServiceUnavailable", "m")},
		"too many requests":        {Call: "*", Skip: 4, Times: 3, Refuse: ocifake.TooMany()},
		"lists fail":               {Call: "GET /instances", Skip: 1, Times: 3, Refuse: fakekit.Refusef(http.StatusInternalServerError, "InternalError", "An internal error occurred.")},
		"answers are lost":         {Call: "*", Skip: 3, Times: 2, Lose: true},
		"launch answers late":      {Call: callLaunch, Times: 2, Late: true, Refuse: fakekit.Refusef(http.StatusInternalServerError, "InternalError", "An internal error occurred.")},
		"terminate is refused":     {Call: "DELETE /instances/{id}", Times: 1, Refuse: fakekit.Refusef(http.StatusConflict, "IncorrectState", "m")},
		"the group is in use":      {Call: "DELETE /networkSecurityGroups/{id}", Times: 2, Refuse: fakekit.Refusef(http.StatusConflict, "IncorrectState", "m")},
		"rules are added in parts": {Call: "POST /networkSecurityGroups/{id}/actions/addSecurityRules", Skip: 1, Times: 2, Lose: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, ocifake.Options{})
			a.Inject(f)
			a.life(t)
			if left, _ := a.Count(t.Context()); left.Machines+left.Disks+left.Firewalls+left.Others != 0 {
				t.Errorf("left over: %+v", left)
			}
		})
	}
}

// life is all of a cluster's, from Open to CleanupPorts.
func (a account) life(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(2, cloud.OnDemand)
	cfg, err := s.Bootstrap(ctx, spec, at)
	if err != nil {
		t.Fatal(err)
	}
	run := func() error {
		_, err := s.Run(ctx, spec.Ref, cfg)
		return errors.Join(err, s.Wait(ctx, spec.Ref, cloud.StateRunning))
	}
	for i, step := range []func() error{
		run,
		func() error { return s.Commit(ctx, spec.Ref) },
		func() error { return s.OpenPorts(ctx, spec.Ref, cfg, []cloud.PortRange{{First: 80, Last: 80}}) },
		func() error { return s.Stop(ctx, spec.Ref) },
		run,
		func() error { return s.Terminate(ctx, spec.Ref) },
		func() error { return s.CleanupPorts(ctx, spec.Ref) },
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// TestManyRules: more rules than a call takes are set, and taken back.
func TestManyRules(t *testing.T) {
	a := start(t, ocifake.Options{PageSize: 7, EmptyPages: true})
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(1, cloud.OnDemand)
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	var ports []cloud.PortRange
	for n := range uint16(40) {
		ports = append(ports, cloud.PortRange{First: 1000 + 2*n, Last: 1000 + 2*n})
	}
	for _, want := range [][]cloud.PortRange{ports, ports[:1], nil} {
		if err := s.OpenPorts(t.Context(), spec.Ref, cfg, want); err != nil {
			t.Fatal(err)
		}
		if rules := a.Parts("networkSecurityGroups")[0].Rules; len(rules) != len(want)+3 { // with SSH, and the two of every group
			t.Errorf("there are %d rules for %d ports", len(rules), len(want))
		}
		auditor, ok := s.Provisioner.(cloud.Auditor)
		if !ok {
			t.Fatal("no Auditor")
		}
		if drift, err := auditor.PortDrift(t.Context(), spec.Ref, cfg.Spec.AllowedCIDRs, want); err != nil || len(drift) > 0 {
			t.Errorf("drift: %v, %v", drift, err)
		}
	}
}

// TestLimits: what Oracle would not take is refused before anything is asked.
func TestLimits(t *testing.T) {
	spec, at := request(1, cloud.OnDemand)
	for want, change := range map[string]func(*cloud.ClusterSpec, *cloud.Placement){
		"boot volumes of 50":      func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.DiskGiB = 20 },
		"move work":               func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[0].UserData = make([]byte, 25000) },
		"fewer or shorter labels": func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Labels = many(60, 60) },
		"preemptible": func(_ *cloud.ClusterSpec, at *cloud.Placement) {
			at.Offer.Market, at.Offer.InstanceType.Name = cloud.Spot, "BM.GPU.H100.8"
		},
		"is a shape of any size": func(_ *cloud.ClusterSpec, at *cloud.Placement) {
			at.Offer.InstanceType.Name = "VM.Standard.E4.Flex"
		},
	} {
		s, p := spec, at
		s.Nodes = slices.Clone(spec.Nodes)
		change(&s, &p)
		refused(t, checkSpec(s, p), want)
	}
	if err := checkSpec(spec, at); err != nil {
		t.Error(err)
	}
}

// TestStopIsBilled: types that are billed while they are stopped are not stopped.
func TestStopIsBilled(t *testing.T) {
	caps := Factory{}.Capabilities()
	for name, can := range map[string]bool{"VM.Standard.E4.Flex$_2_8": true, "VM.GPU.A10.1": true, "VM.GPU3.1": false, "VM.GPU2.1": false, "BM.GPU.H100.8": false, "VM.DenseIO.E4.Flex$_8_128": false} {
		if why := caps.CannotStop(cloud.Offer{Cloud: Name, Market: cloud.OnDemand, InstanceType: cloud.InstanceType{Name: name}}); (why == "") != can {
			t.Errorf("%s: %q", name, why)
		}
	}
}
