// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// visible reports whether the API shows the machine at that time.
func (s *Server) visible(i instance) bool {
	now := s.clock.Now()
	return !now.Before(i.HiddenUntil) && !s.forgotten(i, now)
}

// forgotten reports whether the machine ended too long ago to be listed.
func (s *Server) forgotten(i instance, now time.Time) bool {
	return i.State.gone() && now.Sub(i.EndedAt) > s.opts.Retention
}

func instanceKey(i Instance) string {
	return fmt.Sprintf("%020d/%s", i.CreatedAt.UnixNano(), i.ID)
}

func (s *Server) listInstances(ctx context.Context, c *call) (reply, error) {
	q := c.URL.Query()
	if err := s.suffer(ctx, c, "list", subject{region: q.Get("region"), zone: q.Get("zone")}); err != nil {
		return reply{}, err
	}
	tags, err := tagFilter(c)
	if err != nil {
		return reply{}, err
	}
	var found []instance
	err = s.store.view(func(t *tx) (err error) {
		found, err = all(t, bucketInstances, func(i instance) bool {
			return !c.effect.Empty && s.visible(i) && hasTags(i.Tags, tags) && matches(q.Get("region"), i.Region) &&
				matches(q.Get("zone"), i.Zone) && matches(q.Get("state"), string(i.State))
		})
		return err
	})
	if err != nil {
		return reply{}, err
	}
	out := make([]Instance, len(found))
	for n, i := range found {
		out[n] = i.Instance
	}
	return page(c, "instances", out, instanceKey)
}

// lookup reads the machine of the path, as far as the API shows it.
func (s *Server) lookup(t *tx, id string) (instance, error) {
	i, err := fetch[instance](t, bucketInstances, "instance", id)
	if err == nil && !s.visible(i) {
		err = notFound("instance", id)
	}
	return i, err
}

// target reads the machine of the path and lets the call's fault strike.
func (s *Server) target(ctx context.Context, c *call, op string) (instance, error) {
	var i instance
	err := s.store.view(func(t *tx) (err error) {
		i, err = s.lookup(t, c.PathValue("id"))
		return err
	})
	if faultErr := s.suffer(ctx, c, op, subjectOf(i.Instance)); faultErr != nil {
		return i, faultErr
	}
	return i, err
}

func (s *Server) getInstance(ctx context.Context, c *call) (reply, error) {
	i, err := s.target(ctx, c, "get")
	return reply{http.StatusOK, map[string]any{"instance": i.Instance}}, err
}

// change applies f to the machine of the path in one transaction.
func (s *Server) change(id string, f func(*tx, *instance) error) (instance, error) {
	var i instance
	err := s.store.update(func(t *tx) (err error) {
		if i, err = s.lookup(t, id); err != nil {
			return err
		}
		return f(t, &i)
	})
	return i, err
}

// transition moves a machine to another state, with all that hangs on it.
func (s *Server) transition(t *tx, i *instance, to State, reason string) error {
	now := s.clock.Now().UTC()
	from := i.State
	i.State, i.StateReason = to, reason
	if from == StateRunning {
		if err := stopMeter(t, i, now); err != nil {
			return err
		}
	}
	switch to {
	case StateRunning:
		if err := startMeter(t, i, now); err != nil {
			return err
		}
	case StateStopped:
		if err := giveBack(t, i); err != nil {
			return err
		}
	case StateTerminated:
		if err := giveBack(t, i); err != nil {
			return err
		}
		i.EndedAt, i.UserData, i.Token = now, nil, ""
		if err := remove(t, bucketDisks, i.DiskID); err != nil {
			return err
		}
	default: // on the way there is nothing to meter or to give back
	}
	s.log.Info("state", "instance", i.ID, "name", i.Name, "from", from, "to", to, "reason", reason)
	return put(t, bucketInstances, i.ID, *i)
}

func accepted(i instance, err error) (reply, error) {
	return reply{http.StatusAccepted, map[string]any{"instance": i.Instance}}, err
}

func (s *Server) terminateInstance(ctx context.Context, c *call) (reply, error) {
	i, err := s.target(ctx, c, "terminate")
	if err != nil || c.effect.Silent {
		return accepted(i, err)
	}
	return accepted(s.terminate(i.ID, reasonUser))
}

// terminate begins the end of a machine; one that is ending or gone stays so.
func (s *Server) terminate(id, reason string) (instance, error) {
	i, err := s.change(id, func(t *tx, i *instance) error {
		if i.State == StateTerminating || i.State.gone() {
			return nil
		}
		return s.transition(t, i, StateTerminating, reason)
	})
	if err == nil {
		s.kick(id)
	}
	return i, err
}

// endAs ends a machine as no user would: preempted, or with its host.
func (s *Server) endAs(_ context.Context, c *call, reason string) (reply, error) {
	i, err := s.change(c.PathValue("id"), func(t *tx, i *instance) error {
		if i.State != StateRunning && i.State != StatePending {
			return conflict("instance %s is %s; only a pending or running one can end so", i.ID, i.State)
		}
		if reason == reasonPreempted && i.Market != marketSpot {
			return conflict("instance %s is %s; only spot instances are preempted", i.ID, i.Market)
		}
		return s.transition(t, i, StateTerminating, reason)
	})
	if err == nil {
		s.kick(i.ID)
	}
	return accepted(i, err)
}

func (s *Server) stopInstance(ctx context.Context, c *call) (reply, error) {
	i, err := s.target(ctx, c, "stop")
	if err != nil || c.effect.Silent {
		return accepted(i, err)
	}
	return accepted(s.stop(i.ID, reasonUser))
}

func (s *Server) stop(id, reason string) (instance, error) {
	i, err := s.change(id, func(t *tx, i *instance) error {
		if i.Market == marketSpot {
			return conflict("instance %s is a spot instance; it cannot be stopped, only terminated", i.ID)
		}
		if i.State != StateRunning {
			return conflict("instance %s is %s; only a running one can be stopped", i.ID, i.State)
		}
		return s.transition(t, i, StateStopping, reason)
	})
	if err == nil {
		s.kick(id)
	}
	return i, err
}

func (s *Server) startInstance(ctx context.Context, c *call) (reply, error) {
	i, err := s.target(ctx, c, "start")
	if err != nil || c.effect.Silent {
		return accepted(i, err)
	}
	boot, err := s.bootFault(c.effect, subjectOf(i.Instance))
	if err != nil {
		return reply{}, err
	}
	i, err = s.change(i.ID, func(t *tx, i *instance) error {
		if i.State != StateStopped {
			return conflict("instance %s is %s; only a stopped one can be started", i.ID, i.State)
		}
		if err := take(t, i); err != nil {
			return err
		}
		i.Fault = boot
		return s.transition(t, i, StatePending, reasonUser)
	})
	if err == nil {
		s.kick(i.ID)
	}
	return accepted(i, err)
}

func (s *Server) tagInstance(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Set    map[string]string `json:"set"`
		Remove []string          `json:"remove"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	i, err := s.target(ctx, c, "tag")
	if err != nil || c.effect.Silent || c.effect.DropTags {
		return reply{http.StatusOK, map[string]any{"instance": i.Instance}}, err
	}
	i, err = s.change(i.ID, func(t *tx, i *instance) error {
		if i.State.gone() {
			return conflict("instance %s is terminated", i.ID)
		}
		for k, v := range in.Set {
			i.Tags[k] = v
		}
		for _, k := range in.Remove {
			delete(i.Tags, k)
		}
		if err := checkTags(i.Tags); err != nil {
			return err
		}
		disk, ok, err := get[Disk](t, bucketDisks, i.DiskID)
		if err != nil {
			return err
		}
		if ok {
			disk.Tags = i.Tags
			if err := put(t, bucketDisks, disk.ID, disk); err != nil {
				return err
			}
		}
		return put(t, bucketInstances, i.ID, *i)
	})
	return reply{http.StatusOK, map[string]any{"instance": i.Instance}}, err
}

func (s *Server) setExpiry(ctx context.Context, c *call) (reply, error) {
	var in struct {
		ExpiresAt *time.Time `json:"expires_at"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.ExpiresAt != nil && !in.ExpiresAt.After(s.clock.Now()) {
		return reply{}, invalid("expires_at", "%s has passed", in.ExpiresAt.Format(time.RFC3339))
	}
	i, err := s.target(ctx, c, "expiry")
	if err != nil || c.effect.Silent {
		return reply{http.StatusOK, map[string]any{"instance": i.Instance}}, err
	}
	i, err = s.change(i.ID, func(t *tx, i *instance) error {
		if i.State == StateTerminating || i.State.gone() {
			return conflict("instance %s is %s", i.ID, i.State)
		}
		i.ExpiresAt = in.ExpiresAt
		// The machine hears of it before anybody may rely on it.
		return errors.Join(s.tellExpiry(*i), put(t, bucketInstances, i.ID, *i))
	})
	s.nudge()
	return reply{http.StatusOK, map[string]any{"instance": i.Instance}}, err
}

func (s *Server) listDisks(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "disk", subject{}); err != nil {
		return reply{}, err
	}
	tags, err := tagFilter(c)
	if err != nil {
		return reply{}, err
	}
	var disks []Disk
	err = s.store.view(func(t *tx) (err error) {
		disks, err = all(t, bucketDisks, func(d Disk) bool { return !c.effect.Empty && hasTags(d.Tags, tags) })
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return page(c, "disks", disks, func(d Disk) string { return d.ID })
}

// getConsole returns the end of what the machine's screen showed.
func (s *Server) getConsole(ctx context.Context, c *call) (reply, error) {
	const tail = 64 << 10
	i, err := s.target(ctx, c, "get")
	if err != nil {
		return reply{}, err
	}
	data, err := os.ReadFile(s.paths(i.ID).Console())
	if err != nil && !os.IsNotExist(err) {
		return reply{}, fmt.Errorf("read console: %w", err)
	}
	if len(data) > tail {
		data = data[len(data)-tail:]
	}
	return reply{http.StatusOK, map[string]string{"output": string(data)}}, nil
}

// selfRequest serves a machine that stops or terminates itself.
func (s *Server) selfRequest(_ context.Context, c *call) (reply, error) {
	i, err := s.byMachineToken(bearer(c.Request))
	if err != nil {
		return reply{}, err
	}
	switch c.PathValue("action") {
	case "stop":
		return accepted(s.stop(i.ID, reasonSelf))
	case "terminate":
		return accepted(s.terminate(i.ID, reasonSelf))
	default:
		return reply{}, notFound("action", c.PathValue("action"))
	}
}
