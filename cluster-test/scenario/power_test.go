package scenario

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDropCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path, []byte(`{"format":1,"checkpoint":{"seq":9}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dropCheckpoint(path); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != `{"format":1}` {
		t.Errorf("left %s", got)
	}
	if err := dropCheckpoint(path); err == nil {
		t.Error("no error without a checkpoint: the scenario would prove nothing")
	}
}
