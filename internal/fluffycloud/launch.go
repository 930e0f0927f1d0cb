// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"
)

const (
	maxUserData    = 64 << 10
	defaultDiskGiB = 50
	maxDiskGiB     = 64 << 10
	maxClientToken = 128
)

// launchRequest is what a machine is asked for with.
type launchRequest struct {
	Name         string            `json:"name"`
	ClientToken  string            `json:"client_token"`
	Region       string            `json:"region"`
	Zone         string            `json:"zone"`
	InstanceType string            `json:"instance_type"`
	Image        string            `json:"image"`
	Market       string            `json:"market"`
	MaxPriceUSD  float64           `json:"max_price_usd"`
	DiskGiB      int               `json:"disk_gib"`
	UserData     string            `json:"user_data"`
	SSHKeyIDs    []string          `json:"ssh_key_ids"`
	FirewallID   string            `json:"firewall_id"`
	Tags         map[string]string `json:"tags"`
	ExpiresAt    *time.Time        `json:"expires_at"`
}

func (r launchRequest) subject() subject {
	return subject{region: r.Region, zone: r.Zone, instanceType: r.InstanceType, market: r.Market, name: r.Name}
}

// digest tells whether two requests with one token ask for the same.
func (r launchRequest) digest() (string, error) {
	r.ClientToken = ""
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("digest the request: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// check fills in defaults and names the first field that is wrong. That the
// expiry has passed is no matter of form: a repeated request may come late.
func (r *launchRequest) check() (userData []byte, err error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if len(r.ClientToken) > maxClientToken || !plain(r.ClientToken) {
		return nil, invalid("client_token", "must have at most %d plain characters", maxClientToken)
	}
	if r.Market == "" {
		r.Market = marketOnDemand
	}
	if r.Market != marketOnDemand && r.Market != marketSpot {
		return nil, invalid("market", "%q is neither %s nor %s", r.Market, marketOnDemand, marketSpot)
	}
	ty, err := offerOf(r.Region, r.Zone, r.InstanceType)
	if err != nil {
		return nil, err
	}
	if err := r.checkImage(ty); err != nil {
		return nil, err
	}
	if r.MaxPriceUSD < 0 || math.IsInf(r.MaxPriceUSD, 0) || math.IsNaN(r.MaxPriceUSD) {
		return nil, invalid("max_price_usd", "must not be negative; 0 is no bound")
	}
	if r.DiskGiB == 0 {
		r.DiskGiB = defaultDiskGiB
	}
	if r.DiskGiB < 1 || r.DiskGiB > maxDiskGiB {
		return nil, invalid("disk_gib", "must be from 1 to %d", maxDiskGiB)
	}
	if userData, err = base64.StdEncoding.DecodeString(r.UserData); err != nil {
		return nil, invalid("user_data", "is not base64")
	}
	if len(userData) > maxUserData {
		return nil, invalid("user_data", "has %d bytes; at most %d are allowed", len(userData), maxUserData)
	}
	return userData, checkTags(r.Tags)
}

func (r *launchRequest) checkImage(ty typeSpec) error {
	if r.Image == "" {
		r.Image = "img-cumulus-2404"
		if ty.gpu != "" {
			r.Image = "img-nimbus-2404"
		}
	}
	for _, i := range images() {
		if i.ID == r.Image {
			return nil
		}
	}
	return invalid("image", "there is no image %q", r.Image)
}

// launch makes a machine, or returns the one its token made before.
func (s *Server) launch(ctx context.Context, c *call) (reply, error) {
	var req launchRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	userData, err := req.check()
	if err != nil {
		return reply{}, err
	}
	if err := s.suffer(ctx, c, "launch", req.subject()); err != nil {
		return reply{}, err
	}
	if c.effect.Duplicate {
		req.ClientToken = ""
	}
	boot, err := s.launchFault(c, req)
	if err != nil {
		return reply{}, err
	}
	made, i, err := s.create(c, req, userData, boot)
	if err != nil {
		return reply{}, err
	}
	if c.effect.LateArrivalMS > 0 {
		if c.effect.Error != nil {
			return reply{}, c.effect.Error
		}
		return reply{}, apiErrorf(http.StatusServiceUnavailable, "unavailable", "the launch did not finish in time")
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	return reply{status, map[string]any{"instance": i.Instance}}, nil
}

// launchFault is bootFault for a launch; one whose token has made its machine
// boots nothing, and uses no fault up.
func (s *Server) launchFault(c *call, req launchRequest) (bootFault, error) {
	known := false
	err := s.store.view(func(t *tx) (err error) {
		if req.ClientToken != "" {
			_, known, err = get[string](t, bucketTokens, req.ClientToken)
		}
		return err
	})
	if err != nil || known {
		return bootFault{}, err
	}
	return s.bootFault(c.effect, req.subject())
}

// bootFault is what the coming boot suffers, from the call's own fault or from
// one laid on boots.
func (s *Server) bootFault(own effect, on subject) (bootFault, error) {
	if own.Boot == "" {
		var err error
		if own, err = s.strike("boot", on); err != nil {
			return bootFault{}, err
		}
	}
	return bootFault{Boot: own.Boot, DelayMS: own.BootDelayMS, AtExec: own.AtExec}, nil
}

// create writes a new machine down and sets it going; made is false where the
// token had made one before.
func (s *Server) create(c *call, req launchRequest, userData []byte, boot bootFault) (made bool, i instance, err error) {
	digest, err := req.digest()
	if err != nil {
		return false, i, err
	}
	err = s.store.update(func(t *tx) error {
		if old, found, err := byToken(t, req.ClientToken, digest); err != nil || found {
			i = old
			return err
		}
		if i, err = s.build(t, req, userData); err != nil {
			return err
		}
		i.Digest, i.Fault, made = digest, boot, true
		s.applyLaunchEffect(&i, c.effect)
		if c.effect.Silent {
			return nil
		}
		return s.insert(t, &i, req.DiskGiB)
	})
	if err == nil && made && !c.effect.Silent {
		s.kick(i.ID)
		s.nudge()
	}
	return made, i, err
}

// byToken finds the machine an earlier request with the token made.
func byToken(t *tx, token, digest string) (i instance, found bool, err error) {
	if token == "" {
		return i, false, nil
	}
	id, ok, err := get[string](t, bucketTokens, token)
	if err != nil || !ok {
		return i, false, err
	}
	if i, found, err = get[instance](t, bucketInstances, id); err != nil || !found {
		return i, false, err
	}
	if i.Digest != digest {
		return i, false, apiErrorf(http.StatusConflict, "idempotency_mismatch",
			"client_token was used for instance %s with other parameters", id)
	}
	return i, true, nil
}

// build checks a request against the account's state and makes the record.
func (s *Server) build(t *tx, req launchRequest, userData []byte) (i instance, err error) {
	now := s.clock.Now().UTC()
	if req.ExpiresAt != nil && !req.ExpiresAt.After(now) {
		return i, invalid("expires_at", "%s has passed", req.ExpiresAt.Format(time.RFC3339))
	}
	ty, err := offerOf(req.Region, req.Zone, req.InstanceType)
	if err != nil {
		return i, err
	}
	usd, err := price(t, ty, req.Region, req.Zone, req.Market)
	if err != nil {
		return i, err
	}
	if req.MaxPriceUSD > 0 && usd > req.MaxPriceUSD {
		return i, apiErrorf(http.StatusBadRequest, "price_too_low", "%s in %s costs %.4f USD an hour, more than max_price_usd %.4f",
			req.InstanceType, req.Zone, usd, req.MaxPriceUSD)
	}
	if err := withinQuota(t, req.Region); err != nil {
		return i, err
	}
	keys, err := s.launchKeys(t, req)
	if err != nil {
		return i, err
	}
	id := randomHex(8)
	i = instance{
		Instance: Instance{
			ID: "i-" + id, Name: req.Name, Region: req.Region, Zone: req.Zone, InstanceType: req.InstanceType,
			Image: req.Image, Market: req.Market, State: StatePending, StateReason: "", CreatedAt: now,
			ExpiresAt: req.ExpiresAt, Tags: orEmpty(req.Tags), DiskID: "disk-" + id, FirewallID: req.FirewallID, HourlyUSD: usd,
		},
		ClientToken: req.ClientToken, UserData: userData, SSHKeys: keys, Token: randomHex(24), MaxPriceUSD: req.MaxPriceUSD,
	}
	return i, nil
}

// launchKeys resolves the request's references.
func (s *Server) launchKeys(t *tx, req launchRequest) (keys []string, err error) {
	for _, id := range req.SSHKeyIDs {
		k, ok, err := get[SSHKey](t, bucketKeys, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, invalid("ssh_key_ids", "there is no SSH key %q", id)
		}
		keys = append(keys, k.PublicKey)
	}
	if req.FirewallID == "" {
		return keys, nil
	}
	fw, ok, err := get[Firewall](t, bucketFirewalls, req.FirewallID)
	if err != nil {
		return nil, err
	}
	if !ok || fw.Region != req.Region {
		return nil, invalid("firewall_id", "there is no firewall %q in %s", req.FirewallID, req.Region)
	}
	return keys, nil
}

func (s *Server) applyLaunchEffect(i *instance, e effect) {
	now := s.clock.Now()
	if hide := max(e.HideForMS, e.LateArrivalMS); hide > 0 {
		i.HiddenUntil = now.Add(time.Duration(hide) * time.Millisecond)
	}
	if e.PreemptAfterMS > 0 {
		i.PreemptAt = now.Add(time.Duration(e.PreemptAfterMS) * time.Millisecond)
	}
	if e.DropTags {
		i.Tags = map[string]string{}
	}
}

// insert writes a new machine, its disk and its token.
func (s *Server) insert(t *tx, i *instance, diskGiB int) error {
	if err := take(t, i); err != nil {
		return err
	}
	disk := Disk{ID: i.DiskID, SizeGiB: diskGiB, InstanceID: i.ID, Region: i.Region, Zone: i.Zone, CreatedAt: i.CreatedAt, Tags: i.Tags}
	if err := put(t, bucketDisks, disk.ID, disk); err != nil {
		return err
	}
	if i.ClientToken != "" {
		if err := put(t, bucketTokens, i.ClientToken, i.ID); err != nil {
			return err
		}
	}
	return put(t, bucketInstances, i.ID, *i)
}
